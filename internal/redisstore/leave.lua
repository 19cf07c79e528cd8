-- Ends whatever token has on the open lock, and lets the next in line in if it is
-- free thereafter: what release.lua does, with its reply.
local function leave(token)
  local owned = 0
  if owner == token then
    redis.call('DEL', lock)
    owner, owned = false, 1
  elseif waiting > 0 and redis.call('ZREM', queue, token) == 1 then
    redis.call('HDEL', waiters, token)
    waiting = waiting - 1
  end

  if not owner then
    local head = pop()
    if head then hand(head) end
  end
  return unfinished and owned + 2 or owned
end

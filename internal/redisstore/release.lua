-- Ends whatever token has here, the lock or a place in the queue, and lets the
-- next in line in if the lock is free thereafter. Repeated, it changes nothing.
-- KEYS  as in state.lua
-- ARGV  1 token
-- Reply 1 if token owned the lock, 0 if it did not.

-- Mostly the lock is ours and nobody waits.
if redis.pcall('GET', KEYS[1]) == ARGV[1] and redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('DEL', KEYS[1])
  return 1
end

--include state.lua

local token, owned = ARGV[1], 0

if owner == token then
  redis.call('DEL', lock)
  owner, owned = false, 1
elseif waiting > 0 and redis.call('ZREM', queue, token) == 1 then
  redis.call('HDEL', waiters, token)
end

if not owner then
  local head = pop()
  if head then hand(head) end
end
return owned

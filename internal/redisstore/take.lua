-- Makes token the owner of the open lock, if it is free and nobody is ahead, and
-- otherwise queues for it: what acquire.lua does, with its arguments and reply.
local function take(token, ttl, n, given, channel, key)
  if owner == token then
    redis.call('PEXPIRE', lock, ttl)
    return {1, last or grant(token, ttl), tonumber(ttl), 1}
  end

  local queues = tonumber(n) > 0
  if not owner then
    local head = pop(token)
    if head and head.token == token or not head and not unfinished then
      return {1, grant(token, ttl), tonumber(ttl), 1}
    end
    if queues then enqueue(token, n, given, channel, key) end
    if not head then return {0, 0, 0, 1} end -- the next request, at once, drops more
    hand(head)
    return {0, 0, tonumber(head.ttl), 1}
  end

  if queues then -- one at every sixteenth new place looks ahead: that is enough, and costs less
    local place = enqueue(token, n, given, channel, key)
    if not place or place % 16 == 0 then drop_stale_ahead(token) end
  end

  -- A token of ours states its TTL. More than that is left only if the server's
  -- clock was set back, and a dead owner would then hold the lock for as long.
  local left = redis.call('PTTL', lock)
  local most = string.match(owner, '^baton:(%d+):')
  if most and left > tonumber(most) then
    redis.call('PEXPIRE', lock, most)
    left = tonumber(most)
  end
  return {0, 0, left, most and 1 or 0}
end

-- Takes the lock if it is free and nobody is ahead; otherwise queues for it.
-- KEYS  as in state.lua
-- ARGV  1 token   2 ttl in ms   3 number of this request, 0 to leave no entry
--       and with an entry: 4 ttl in ms that a hand-over gives   5 channel to tell of it
-- Reply {1, fence base, ttl}: token owns the lock.
--       {0, 0, ms left to the owner or -1, 1 if the owner is one of ours}: it does not.

-- Most locks are free and nobody waits: that costs four calls. The fence is
-- written first, for that fails if it is of another type.
if redis.call('EXISTS', KEYS[1], KEYS[2]) == 0 then
  local time = redis.call('TIME')
  local base = time[1] * 1000000 + time[2]
  local last = redis.pcall('SET', KEYS[4], base, 'PX', 3900000, 'GET') -- FENCE_LIFE of state.lua
  if type(last) == 'table' then return last end
  last = tonumber(last) -- what is no number counts as lost, as in state.lua
  if last and last >= base then
    base = last + 1
    redis.call('SET', KEYS[4], base, 'PX', 3900000)
  end
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return {1, base, tonumber(ARGV[2]), 1}
end

--include state.lua

local token, ttl, n = ARGV[1], ARGV[2], tonumber(ARGV[3])

if owner == token then
  redis.call('PEXPIRE', lock, ttl)
  return {1, last or grant(token, ttl), tonumber(ttl), 1}
end

if not owner then
  local head = pop(token)
  if not head or head.token == token then
    return {1, grant(token, ttl), tonumber(ttl), 1}
  end
  if n > 0 then enqueue(token, ARGV[3], ARGV[4], ARGV[5]) end
  hand(head)
  return {0, 0, tonumber(head.ttl), 1}
end

if n > 0 then enqueue(token, ARGV[3], ARGV[4], ARGV[5]) end

-- A token of ours states its TTL. More than that is left only if the server's
-- clock was set back, and a dead owner would then hold the lock for as long.
local left = redis.call('PTTL', lock)
local most = string.match(owner, '^baton:(%d+):')
if most and left > tonumber(most) then
  redis.call('PEXPIRE', lock, most)
  left = tonumber(most)
end
return {0, 0, left, most and 1 or 0}

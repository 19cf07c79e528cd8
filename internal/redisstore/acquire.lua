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
  last = tonumber(last) -- what is no number, or too large, counts as lost, as in state.lua
  if last and last >= base and last < 2^53 - 1 then
    base = last + 1
    redis.call('SET', KEYS[4], base, 'PX', 3900000)
  end
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return {1, base, tonumber(ARGV[2]), 1}
end

--include state.lua
--include take.lua

return open(1) or take(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5])

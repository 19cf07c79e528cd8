-- Takes the lock if it is free and nobody is ahead; otherwise queues for it.
-- KEYS  as in state.lua
-- ARGV  1 token   2 ttl in ms   3 number of this request, 0 to leave no entry
--       and with an entry: 4 ttl in ms that a hand-over gives   5 channel on which to
--       publish it   6 the key as its users name it
-- Reply {1, fence base, ttl}: token owns the lock.
--       {0, 0, ms left to the owner or -1, 1 if the owner is one of ours}: it does not.
--       With 0 ms left, nobody has it: the queue had more stale entries than one script drops.

local owner = ARGV[3] ~= '0' and redis.pcall('GET', KEYS[1]) -- who leaves no entry expects that it is free

-- Most locks are free and nobody waits: that costs four calls. The fence is
-- written first, for that fails if it is of another type.
if not owner and redis.call('EXISTS', KEYS[1], KEYS[2]) == 0 then
  local time = redis.call('TIME')
  local base = time[1] * 1000000 + time[2]
  local last = redis.pcall('SET', KEYS[4], base, 'PX', '3900000', 'GET') -- FENCE_LIFE of state.lua
  if type(last) ~= 'table' then -- else of another type; or the server is older than 6.2
    last = tonumber(last) -- what is no number, or too large, counts as lost, as in state.lua
    if last and last >= base and last < 2^53 - 1 then
      base = last + 1
      redis.call('SET', KEYS[4], base, 'PX', '3900000')
    end
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    return {1, base, tonumber(ARGV[2]), 1}
  end
end

-- Where many want it, mostly somebody else has it, and one queues: what take.lua does then,
-- without what it needs for all that is rarer. That is left to it before anything is written:
-- one that is queued already, above all; and one in 16 that finds a stale entry ahead of it.
if type(owner) == 'string' and owner ~= ARGV[1] then
  local left, most = redis.call('PTTL', KEYS[1]), string.match(owner, '^baton:(%d+):')
  local tail = redis.pcall('ZRANGE', KEYS[2], '-1', '-1', 'WITHSCORES')
  if not (most and left > tonumber(most)) and not tail.err and type(redis.pcall('GET', KEYS[4])) ~= 'table' then
    local time = redis.call('TIME')
    local ms = time[1] * 1000 + math.floor(time[2] / 1000)
    local place = (tail[2] or 0) + 1
    local ahead = place % 16 == 0 and redis.pcall('HGET', KEYS[3], tail[1])
    local seen = type(ahead) == 'string' and string.match(ahead, '^%d+')
    if (place % 16 ~= 0 or seen and ms - tonumber(seen) < 3600) -- ENTRY_LIFE of state.lua
      and redis.pcall('HSETNX', KEYS[3], ARGV[1],
        string.format('%.0f ', ms) .. ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6]) == 1 then
      redis.call('ZADD', KEYS[2], 'NX', string.format('%.0f', place), ARGV[1])
      redis.call('PEXPIRE', KEYS[2], '3600')
      redis.call('PEXPIRE', KEYS[3], '3600')
      return {0, 0, left, most and 1 or 0}
    end
  end
end

--include state.lua
--include take.lua

return open(1) or take(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6])

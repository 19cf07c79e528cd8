-- Acquires the lock if it is free and no live waiter is ahead, and queues for it otherwise.
-- KEYS  as in lib/mutex.lua
-- ARGV  1 token   2 ttl in ms   3 number of this request, 0 not to queue
--       and to queue: 4 ttl in ms that a hand-over gives   5 channel on which to publish it
--       6 the key as the waiter names it
-- Reply the fence base, negative if others wait: token owns the lock. One number costs the server and
--       the client less than a list.
--       {ms left to the owner or -1, the owner: 1 a token of ours, 2 one of ours that may only
--       linger, 0 another}: token does not own the lock. With 0 ms left nobody does, as there are
--       more stale entries than one script drops.
-- A waiter that becomes the first in the queue, or asks again as the first, notifies the owner.

--include lib/clock.lua
--include lib/limits.lua
-- A request that does not queue expects a free lock, and does not ask for its owner.
local owner = ARGV[3] ~= '0' and redis.pcall('GET', KEYS[1]) -- false: free, or not asked; EXISTS decides below

-- Fast path: the lock is free and nobody waits. If the fence cannot be stored, the slow path
-- goes on.
if not owner and redis.call('EXISTS', KEYS[1], KEYS[2]) == 0 then
--include lib/store_fence.lua
  if type(last) ~= 'table' then
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    return base
  end
end

--include lib/contention.lua
--include lib/publish.lua
-- Fast path: another owner has the lock, and token is a new waiter. All other cases leave it
-- before the first write: token is queued already, or its place is one at which a waiter looks
-- ahead, and it finds a stale entry.
if type(owner) == 'string' and owner ~= ARGV[1] then
  local left, most = redis.call('PTTL', KEYS[1]), string.match(owner, '^baton:(%d+):')
  local tail = redis.pcall('ZRANGE', KEYS[2], '-1', '-1', 'WITHSCORES')
  if not (most and left > tonumber(most)) and not tail.err and type(redis.pcall('GET', KEYS[4])) ~= 'table' then
    local place = (tail[2] or 0) + 1
    local ahead = place % 16 == 0 and redis.pcall('HGET', KEYS[3], tail[1])
    local seen_at = type(ahead) == 'string' and string.match(ahead, '^%d+')
    if (place % 16 ~= 0 or seen_at and tonumber(seen_at) > ms - WAITER_TTL)
      and redis.pcall('HSETNX', KEYS[3], ARGV[1],
        string.format('%.0f ', ms) .. ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6]) == 1 then
      redis.call('ZADD', KEYS[2], 'NX', string.format('%.0f', place), ARGV[1])
      redis.call('PEXPIRE', KEYS[2], WAITER_TTL)
      redis.call('PEXPIRE', KEYS[3], WAITER_TTL)
      local channel, lingers = notice_channel(owner)
      if channel and place == 1 then publish(channel, 'm 0 0 0 0 1 ' .. owner .. ' -') end
      return {left, most and (lingers and 2 or 1) or 0}
    end
  end
end

--include lib/mutex_acquire_slow.lua

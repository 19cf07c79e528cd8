-- Ends whatever token has here, the lock or a place in the queue, and lets the
-- next in line in if the lock is free thereafter. Repeated, it changes nothing.
-- KEYS  as in state.lua
-- ARGV  1 token
-- Reply 1 if token owned the lock, 0 if it did not; and 2 more if the lock is free, but
--       the queue had more stale entries than one script drops: run it again.

-- Mostly the lock is ours, and nobody waits, or the first who does lives. That is done
-- without what all that is rarer needs, which is left to it before anything is written.
if redis.pcall('GET', KEYS[1]) == ARGV[1] then
  local head = redis.pcall('ZRANGE', KEYS[2], '0', '0')
  if not head.err and not head[1] then
    redis.call('DEL', KEYS[1])
    return 1
  end

  local token = head[1]
  local entry = token and redis.pcall('HGET', KEYS[3], token)
  if type(entry) == 'string' then
    local seen, n, ttl, channel, key = string.match(entry, '^(%d+) (%d+) (%d+) (%S+) (.*)$')
    local time = redis.call('TIME')
    local base = time[1] * 1000000 + time[2]
    -- The fence is written first, for that fails if it is of another type, or if Redis is out of memory.
    if seen and math.floor(base / 1000) - tonumber(seen) < 3600 then -- ENTRY_LIFE of state.lua
      local last = redis.pcall('SET', KEYS[4], base, 'PX', '3900000', 'GET') -- and its FENCE_LIFE
      if type(last) ~= 'table' then
        last = tonumber(last) -- as in acquire.lua
        if last and last >= base and last < 2^53 - 1 then
          base = last + 1
          redis.call('SET', KEYS[4], base, 'PX', '3900000')
        end
        redis.call('ZREM', KEYS[2], token)
        redis.call('HDEL', KEYS[3], token)
        redis.call('SET', KEYS[1], token, 'PX', ttl)
        redis.pcall('PUBLISH', channel, 'm ' .. n .. string.format(' 0 %.0f 1 0 ', base) .. token .. ' ' .. key)
        return 1
      end
    end
  end
end

--include state.lua
--include leave.lua

return open(1) or leave(ARGV[1])

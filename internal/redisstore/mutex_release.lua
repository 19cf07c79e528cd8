-- Ends whatever token has on the lock, ownership or a place in the queue. If that leaves the
-- lock free, hands it to the next waiter. Repeating it changes nothing.
-- KEYS  as in lib/mutex.lua
-- ARGV  1 token
-- Reply 1 if token owned the lock, 0 if not; plus 2 if the lock is free, but there are more
--       stale entries than one script drops: run it again.

-- Fast path: token owns the lock, and nobody waits.
local owned = redis.pcall('GET', KEYS[1]) == ARGV[1]
local head = owned and redis.pcall('ZRANGE', KEYS[2], '0', '1')
if owned and not head.err and not head[1] then
  redis.call('DEL', KEYS[1])
  return 1
end

--include lib/clock.lua
--include lib/limits.lua
--include lib/publish.lua
-- Fast path: token owns the lock, and the first waiter is live. In all other cases, and if the
-- fence cannot be stored, the slow path goes on.
local entry = owned and head[1] and redis.pcall('HGET', KEYS[3], head[1])
if type(entry) == 'string' then
  local seen_at, seq, ttl, channel, key = string.match(entry, '^(%d+) (%d+) (%d+) (%a%S*) (.*)$')
  if seen_at and tonumber(seen_at) > ms - WAITER_TTL then
--include lib/store_fence.lua
    if type(last) ~= 'table' then
      redis.call('ZREM', KEYS[2], head[1])
      redis.call('HDEL', KEYS[3], head[1])
      redis.call('SET', KEYS[1], head[1], 'PX', ttl)
      publish(channel, 'm ' .. seq .. string.format(' 0 %.0f 1 ', base) .. (head[2] and '1 ' or '0 ') .. head[1] .. ' ' .. key)
      return 1
    end
  end
end

--include lib/mutex_release_slow.lua

--include lib/clock.lua
--include lib/limits.lua
--include lib/next_fence.lua
--include lib/type_error.lua
--include lib/slot_migration.lua
--include lib/contention.lua
--include lib/publish.lua
-- The state of a mutex, and the operations of which its scripts are made. Nothing of a lock
-- is written before the types of its four keys are known to be right.
--
-- KEYS  1 the lock: a string, the owner's token
--       2 the queue: a sorted set, token -> place
--       3 the waiters: a hash, token -> entry
--       4 the fence: a string, the last fence base
--
-- An entry is "seen_at seq handover_ttl channel key": the server's time of the waiter's last
-- request in ms, the number of that request, the TTL in ms that a hand-over gives, the
-- channel on which to publish the hand-over, and the key as the waiter names it. (A client
-- may put a prefix before the keys that it sends.)

local lock, queue, waiters, fence = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local owner = redis.pcall('GET', lock)
if type(owner) == 'table' then return owner end
local queue_len = redis.pcall('ZCARD', queue)
if type(queue_len) == 'table' then return wrap_type_error('queue', queue_len) end
if queue_len > 0 and slot_migrating(queue) then return SLOT_MIGRATING end
local entries_len = redis.pcall('HLEN', waiters) -- enqueue writes both keys, so also if the queue is empty
if type(entries_len) == 'table' then return wrap_type_error('waiters', entries_len) end
local last_fence = redis.pcall('GET', fence)
if type(last_fence) == 'table' then return wrap_type_error('fence', last_fence) end
last_fence = tonumber(last_fence)
if last_fence and not (last_fence < MAX_EXACT) then last_fence = nil end -- also infinity and NaN

-- Makes token the owner for ttl ms. Returns its fence base.
local function grant(token, ttl)
  last_fence = next_fence(last_fence)
  redis.call('SET', fence, string.format('%.0f', last_fence), 'PX', RETENTION)
  redis.call('SET', lock, token, 'PX', ttl)
  return last_fence
end

-- Appends token to the queue, or refreshes its entry. Returns its place if it is new.
local function enqueue(token, seq, handover_ttl, channel, key)
  local place
  if not redis.call('ZSCORE', queue, token) then
    place = (redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2] or 0) + 1
    redis.call('ZADD', queue, string.format('%.0f', place), token)
    queue_len = queue_len + 1
  end
  redis.call('HSET', waiters, token, string.format('%.0f ', ms) .. seq .. ' ' .. handover_ttl .. ' ' .. channel .. ' ' .. key)
  redis.call('PEXPIRE', queue, WAITER_TTL)
  redis.call('PEXPIRE', waiters, WAITER_TTL)
  return place
end

-- Returns the fields of an entry, nil if the entry is stale or malformed. An entry from the
-- future was written before the clock was set back: it is live.
local function live_entry(entry)
  local seen_at, seq, ttl, channel, key = string.match(entry or '', '^(%d+) (%d+) (%d+) (%a%S*) (.*)$')
  if seen_at and tonumber(seen_at) > ms - WAITER_TTL then return {seq = seq, ttl = ttl, channel = channel, key = key} end
end

--include lib/drop_stale.lua
local unfinished = false -- next_waiter dropped a batch of stale entries, and more entries are left

-- Removes the first live waiter from the queue and returns it. It also drops stale entries
-- ahead of that waiter, a batch at most.
local function next_waiter(self)
  if queue_len == 0 then return nil end
  local token = redis.call('ZRANGE', queue, 0, 0)[1]
  local waiter = live_entry(redis.call('HGET', waiters, token))
  if not waiter and token ~= self then
    drop_stale(redis.call('ZRANGE', queue, 0, BATCH - 1), self)
    if queue_len == 0 then return nil end
    token = redis.call('ZRANGE', queue, 0, 0)[1]
    waiter = live_entry(redis.call('HGET', waiters, token))
    if not waiter and token ~= self then
      unfinished = true
      return nil
    end
  end
  redis.call('ZREM', queue, token)
  redis.call('HDEL', waiters, token)
  queue_len = queue_len - 1
  waiter = waiter or {}
  waiter.token = token
  return waiter
end

-- Returns the reply to the owner.
local function granted(base) return queue_len > 0 and -base or base end

-- Makes a waiter the owner and notifies it. The message goes last and may fail: then the
-- waiter's next poll finds the grant. It is concatenated, as %s ends at a NUL.
local function hand_over(waiter)
  local base = grant(waiter.token, waiter.ttl)
  publish(waiter.channel, 'm ' .. waiter.seq .. string.format(' 0 %.0f 1 ', base) .. (queue_len > 0 and '1 ' or '0 ') .. waiter.token .. ' ' .. waiter.key)
end

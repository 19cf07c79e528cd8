-- What the scripts of the mutex include: one reading of the clock, the state of
-- one lock at a time, and the moves that the scripts are made of. Nothing of a
-- lock is written before the types of its four keys are known to be right.
--
-- KEYS  for each lock four keys:
--       1 the lock: a string, the owner's token   2 the queue: zset token -> place
--       3 the waiters: hash token -> entry        4 the last fence base given: string
--
-- An entry is "seen n grant channel": server time of the last request in ms, its
-- number, the TTL in ms that a hand-over gives, and where to tell of it.

local ENTRY_LIFE = 3600    -- ms without a request after which a waiter is passed over
local FENCE_LIFE = 3900000 -- ms; outlives a server clock that is set back by an hour
local LAST = 2^53 - 1      -- a base above it is not exact here, nor its fences 63 bits long: none of ours

local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local ms = math.floor(us / 1000)

-- Of the lock that is open.
local lock, queue, waiters, fence
local owner, waiting, last

-- Only the lock's own WRONGTYPE means that its owner has lost it. That of a
-- sibling must not be taken for one, so it says where it comes from.
local function broken(sibling, reply)
  if string.find(reply.err, '^WRONGTYPE') then return {err = 'ERR its ' .. sibling .. ': ' .. reply.err} end
  return reply
end

--include moving.lua

-- Opens the ith lock: what is below works on it. It returns an error that must
-- keep the script from doing so.
local function open(i)
  lock, queue, waiters, fence = KEYS[4 * i - 3], KEYS[4 * i - 2], KEYS[4 * i - 1], KEYS[4 * i]
  owner = redis.pcall('GET', lock)
  if type(owner) == 'table' then return owner end
  waiting = redis.pcall('ZCARD', queue)
  if type(waiting) == 'table' then return broken('queue', waiting) end
  if waiting > 0 and moving(queue) then return MOVING end
  local entries = redis.pcall('HLEN', waiters) -- of an empty queue too: enqueue writes both
  if type(entries) == 'table' then return broken('waiters', entries) end
  last = redis.pcall('GET', fence)
  if type(last) == 'table' then return broken('fence', last) end
  last = tonumber(last)
  if last and not (last < LAST) then last = nil end -- nor infinity, nor what is no number
end

-- Makes token the owner for ttl ms; the base of its fences is above all earlier
-- ones, by the counter while that lives and by the clock when it was lost.
local function grant(token, ttl)
  last = (last and last >= us) and last + 1 or us
  redis.call('SET', fence, string.format('%.0f', last), 'PX', FENCE_LIFE)
  redis.call('SET', lock, token, 'PX', ttl)
  return last
end

-- Puts token at the tail of the queue, or notes that it is still there.
local function enqueue(token, n, ttl, channel)
  if not redis.call('ZSCORE', queue, token) then
    local tail = redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2]
    redis.call('ZADD', queue, string.format('%.0f', (tail or 0) + 1), token)
  end
  redis.call('HSET', waiters, token, string.format('%.0f ', ms) .. n .. ' ' .. ttl .. ' ' .. channel)
  redis.call('PEXPIRE', queue, ENTRY_LIFE)
  redis.call('PEXPIRE', waiters, ENTRY_LIFE)
end

-- Takes the first live waiter off the queue, and the dead ones before it. One
-- seen in the future was seen before the clock was set back: it is alive.
local function pop(self)
  while waiting > 0 do
    local token = redis.call('ZRANGE', queue, 0, 0)[1]
    if not token then return nil end
    local entry = redis.call('HGET', waiters, token)
    redis.call('ZREM', queue, token)
    redis.call('HDEL', waiters, token)
    if token == self then return {token = token} end
    if entry then
      local seen, n, ttl, channel = string.match(entry, '^(%d+) (%d+) (%d+) (.*)$')
      if seen and ms - tonumber(seen) < ENTRY_LIFE then
        return {token = token, n = n, ttl = ttl, channel = channel}
      end
    end
  end
end

-- Hands the lock to a waiter that pop returned, and tells it. The message goes
-- last, and may fail: the waiter then finds out by its next poll. It is put
-- together without %s, which would end a key at its first NUL.
local function hand(to)
  local base = grant(to.token, to.ttl)
  redis.pcall('PUBLISH', to.channel, 'm ' .. to.n .. string.format(' 0 %.0f 1 0 ', base) .. to.token .. ' ' .. lock)
end

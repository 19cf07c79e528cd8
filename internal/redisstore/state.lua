-- What the scripts of the mutex include: one reading of the clock, the state of
-- one lock at a time, and the moves that the scripts are made of. Nothing of a
-- lock is written before the types of its four keys are known to be right.
--
-- KEYS  for each lock four keys:
--       1 the lock: a string, the owner's token   2 the queue: zset token -> place
--       3 the waiters: hash token -> entry        4 the last fence base given: string
--
-- An entry is "seen n grant channel key": server time of the last request in ms, its
-- number, the TTL in ms that a hand-over gives, where to publish the hand-over, and the
-- key as the waiter names it: on the way to Redis a client may have added a prefix.

local ENTRY_LIFE = 3600    -- ms without a request after which an entry is stale
local BATCH = 64           -- stale entries that one script drops at most
local FENCE_LIFE = 3900000 -- ms; outlives a server clock that is set back by an hour
local LAST = 2^53 - 1      -- a base above it is not exact here, nor its fences 63 bits long: none of ours

local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local ms = math.floor(us / 1000)

-- Of the lock that is open.
local lock, queue, waiters, fence
local owner, waiting, last
local unfinished -- pop dropped a whole batch of stale entries, and more entries are left

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
  owner, unfinished = redis.pcall('GET', lock), false
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

-- Puts token at the tail of the queue, or notes that it is still there. Returns its place if
-- that is new.
local function enqueue(token, n, ttl, channel, key)
  local place
  if not redis.call('ZSCORE', queue, token) then
    place = (redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2] or 0) + 1
    redis.call('ZADD', queue, string.format('%.0f', place), token)
  end
  redis.call('HSET', waiters, token, string.format('%.0f ', ms) .. n .. ' ' .. ttl .. ' ' .. channel .. ' ' .. key)
  redis.call('PEXPIRE', queue, ENTRY_LIFE)
  redis.call('PEXPIRE', waiters, ENTRY_LIFE)
  return place
end

-- Returns the fields of an entry, nil if it is stale or garbled. An entry from the future
-- is older than a step back of the clock: it is alive.
local function live(entry)
  local seen, n, ttl, channel, key = string.match(entry or '', '^(%d+) (%d+) (%d+) (%S+) (.*)$')
  if seen and ms - tonumber(seen) < ENTRY_LIFE then return {n = n, ttl = ttl, channel = channel, key = key} end
end

-- Drops the stale entries that come first in tokens. Returns their number. The entry of
-- self counts as alive.
local function drop_stale(tokens, self)
  local stale, entries = 0, redis.call('HMGET', waiters, unpack(tokens))
  while stale < #tokens and tokens[stale + 1] ~= self and not live(entries[stale + 1]) do stale = stale + 1 end
  if stale > 0 then
    redis.call('ZREM', queue, unpack(tokens, 1, stale))
    redis.call('HDEL', waiters, unpack(tokens, 1, stale))
    waiting = waiting - stale
  end
  return stale
end

-- Drops stale entries directly ahead of token, which is queued. So every stale entry is
-- dropped by the next live waiter behind it, long before a release could meet very many.
local function drop_stale_ahead(token)
  local rank = redis.call('ZREVRANK', queue, token)
  local ahead = redis.call('ZREVRANGE', queue, rank + 1, rank + 1)[1]
  if ahead and not live(redis.call('HGET', waiters, ahead)) then
    drop_stale(redis.call('ZREVRANGE', queue, rank + 1, rank + BATCH))
  end
end

-- Takes the first live waiter off the queue, and a batch of stale entries before it at
-- most: unfinished then reports that more are left.
local function pop(self)
  if waiting == 0 then return nil end
  local token = redis.call('ZRANGE', queue, 0, 0)[1]
  local head = live(redis.call('HGET', waiters, token))
  if not head and token ~= self then
    drop_stale(redis.call('ZRANGE', queue, 0, BATCH - 1), self)
    if waiting == 0 then return nil end
    token = redis.call('ZRANGE', queue, 0, 0)[1]
    head = live(redis.call('HGET', waiters, token))
    if not head and token ~= self then
      unfinished = true
      return nil
    end
  end
  redis.call('ZREM', queue, token)
  redis.call('HDEL', waiters, token)
  head = head or {}
  head.token = token
  return head
end

-- Hands the lock to a waiter that pop returned, and tells it. The message goes
-- last, and may fail: the waiter then finds out by its next poll. It is put
-- together without %s, which would end a key at its first NUL.
local function hand(to)
  local base = grant(to.token, to.ttl)
  redis.pcall('PUBLISH', to.channel, 'm ' .. to.n .. string.format(' 0 %.0f 1 0 ', base) .. to.token .. ' ' .. to.key)
end

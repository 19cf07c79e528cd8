-- What the scripts of the wait group include. Nothing is written before the types
-- of all keys are known to be right.
--
-- KEYS  1 the group: a sorted set of
--           the state, at 0: "round <r> count <n> abandoned <a> since <r>", and behind it
--               " scan <cursor>" while a check of all tasks goes on
--           a task's token, at the time in ms when it ends if it is not renewed
--           "abandoned <r> <a>", at -r, for each of the last rounds that lost tasks
-- ARGV  1 the channel on which the end of a round is told   2 the key as its users name it
--
-- A round begins when something is added to a group that has nothing, and is over
-- when its count is 0 and no task is left. Its number is above that of every
-- earlier one, as a fence is: not below the server's time in us. What became of
-- rounds before "since" is not known: there was no group then, or it was lost.

local LIFE, KEPT = 86400000, 3900000 -- ms that a group is kept, once over KEPT
local RECORDS = 100 -- of rounds that lost tasks
local BATCH = 64    -- tasks that one script checks, or ends, at most

local group, channel, key = KEYS[1], ARGV[1], ARGV[2]
local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local now = math.floor(us / 1000)

local found = redis.pcall('ZRANGEBYSCORE', group, 0, 0)
if found.err then return found end
local state = found[1]
local round, count, abandoned, since = 0, 0, 0, 0
local scan = '' -- " scan <cursor>"
if state then
  local r, n, a, s, rest = string.match(state, '^round (%d+) count (%d+) abandoned (%d+) since (%d+)(.*)$')
  round, count, abandoned, since, scan = tonumber(r), tonumber(n), tonumber(a), tonumber(s), rest
end
if not round or scan ~= '' and not string.match(scan, '^ scan %d+$') or not state and redis.call('EXISTS', group) == 1 then
  return {err = 'ERR the key holds a sorted set that is not a wait group'}
end

local function tasks() return redis.call('ZCOUNT', group, '(0', '+inf') end

-- Starts a round, unless one goes on.
local function begin()
  if count > 0 or tasks() > 0 then return end
  round, abandoned = math.max(round + 1, us), 0
  if not state then since = round end
end

local function text()
  return string.format('round %.0f count %.0f abandoned %.0f since %.0f', round, count, abandoned, since) .. scan
end

-- Writes what has changed, and ends the round if nothing is left of it. The first
-- command is one that Redis allows when it is out of memory. The key is never empty
-- in between: while a cluster moves its slot, it could not be written any more.
local function write()
  local old, goes_on = state, count > 0 or tasks() > 0
  if not goes_on then scan = '' end
  state = text()
  if old then redis.call('PEXPIRE', group, LIFE) end
  redis.call('ZADD', group, 0, state)
  if old and old ~= state then redis.call('ZREM', group, old) end
  if goes_on then
    redis.call('PEXPIRE', group, LIFE)
    return
  end
  if abandoned > 0 then
    redis.call('ZADD', group, string.format('-%.0f', round), string.format('abandoned %.0f %.0f', round, abandoned))
    if redis.call('ZCOUNT', group, '-inf', '(0') > RECORDS then -- the oldest has the highest rank of them
      local oldest = redis.call('ZREVRANGEBYSCORE', group, '(0', '-inf', 'LIMIT', 0, 1)[1]
      redis.call('ZREM', group, oldest, state)
      since = math.max(since, string.match(oldest, '^abandoned (%d+) ') + 1)
      state = text()
      redis.call('ZADD', group, 0, state)
    end
  end
  redis.call('PEXPIRE', group, KEPT)
  redis.pcall('PUBLISH', channel, string.format('w %.0f 0 0 %.0f 0 - ', round, abandoned) .. key)
end

-- Cuts the lives of a batch of tasks to what their tokens state. After the clock was set
-- back a dead task would live for as long. Returns true if it has begun to write.
local function cut()
  local cursor = string.match(scan, '^ scan (%d+)$')
  if not cursor then
    local last = redis.call('ZREVRANGEBYSCORE', group, '+inf', '(0', 'WITHSCORES', 'LIMIT', 0, 1)
    local ttl = string.match(last[1] or '', '^baton:(%d+):')
    if not ttl or tonumber(last[2]) <= now + ttl then return false end
    cursor = '0'
  end
  redis.call('PEXPIRE', group, LIFE)
  local reply = redis.call('ZSCAN', group, cursor, 'COUNT', BATCH)
  for i = 1, #reply[2], 2 do
    local task, ends = reply[2][i], tonumber(reply[2][i + 1])
    local most = now + (string.match(task, '^baton:(%d+):') or 0)
    if ends > most then redis.call('ZADD', group, most, task) end
  end
  scan = reply[1] ~= '0' and ' scan ' .. reply[1] or ''
  return true
end

-- Ends tasks that nobody has renewed in time, a batch of them at most. Returns true if
-- there are more, or more to check.
local function purge()
  -- A script that has begun to write may go on when Redis is out of memory, and so
  -- it begins for a reason only.
  local writes = cut()
  local dead = redis.call('ZCOUNT', group, '(0', now)
  if dead > 0 then
    local first, n = redis.call('ZCOUNT', group, '-inf', 0), math.min(dead, BATCH)
    redis.call('ZREMRANGEBYRANK', group, first, first + n - 1)
    abandoned = abandoned + n
  end
  if writes or dead > 0 then write() end
  return dead > BATCH or scan ~= ''
end

-- What the scripts of the wait group include. Nothing is written before the types
-- of all keys are known to be right.
--
-- KEYS  1 the group: a sorted set of
--           the state, at 0: "round <r> count <n> abandoned <a> since <r>"
--           a task's token, at the time in ms when it ends if it is not renewed
--           "abandoned <r> <a>", at -r, for each of the last rounds that lost tasks
-- ARGV  1 the channel on which the end of a round is told
--
-- A round begins when something is added to a group that has nothing, and is over
-- when its count is 0 and no task is left. Its number is above that of every
-- earlier one, as a fence is: not below the server's time in us. What became of
-- rounds before "since" is not known: there was no group then, or it was lost.

local LIFE, KEPT = 86400000, 3900000 -- ms that a group is kept, once over KEPT
local RECORDS = 100 -- of rounds that lost tasks

local group, channel = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local now = math.floor(us / 1000)

local found = redis.pcall('ZRANGEBYSCORE', group, 0, 0)
if found.err then return found end
local state = found[1]
local round, count, abandoned, since = 0, 0, 0, 0
if state then
  local r, n, a, s = string.match(state, '^round (%d+) count (%d+) abandoned (%d+) since (%d+)$')
  round, count, abandoned, since = tonumber(r), tonumber(n), tonumber(a), tonumber(s)
end
if not round or not state and redis.call('EXISTS', group) == 1 then
  return {err = 'ERR the key holds a sorted set that is not a wait group'}
end

local function tasks() return redis.call('ZCOUNT', group, '(0', '+inf') end

-- Starts a round, unless one goes on.
local function begin()
  if count > 0 or tasks() > 0 then return end
  round, abandoned = math.max(round + 1, us), 0
  if not state then since = round end
end

-- Writes what has changed, and ends the round if nothing is left of it. The first
-- command is one that Redis allows when it is out of memory. The key is never empty
-- in between: while a cluster moves its slot, it could not be written any more.
local function write()
  local old = state
  state = string.format('round %.0f count %.0f abandoned %.0f since %.0f', round, count, abandoned, since)
  if old then redis.call('PEXPIRE', group, LIFE) end
  redis.call('ZADD', group, 0, state)
  if old and old ~= state then redis.call('ZREM', group, old) end
  if count > 0 or tasks() > 0 then
    redis.call('PEXPIRE', group, LIFE)
    return
  end
  if abandoned > 0 then
    redis.call('ZADD', group, string.format('-%.0f', round), string.format('abandoned %.0f %.0f', round, abandoned))
    if redis.call('ZCOUNT', group, '-inf', '(0') > RECORDS then -- the oldest has the highest rank of them
      local oldest = redis.call('ZREVRANGEBYSCORE', group, '(0', '-inf', 'LIMIT', 0, 1)[1]
      redis.call('ZREM', group, oldest, state)
      since = math.max(since, string.match(oldest, '^abandoned (%d+) ') + 1)
      state = string.format('round %.0f count %.0f abandoned %.0f since %.0f', round, count, abandoned, since)
      redis.call('ZADD', group, 0, state)
    end
  end
  redis.call('PEXPIRE', group, KEPT)
  redis.pcall('PUBLISH', channel, string.format('w %.0f 0 0 %.0f 0 - ', round, abandoned) .. group)
end

-- Ends the tasks that nobody has renewed in time.
local function purge()
  local last = redis.call('ZREVRANGEBYSCORE', group, '+inf', '(0', 'WITHSCORES', 'LIMIT', 0, 1)
  if #last == 0 then return end
  local ttl = tonumber(string.match(last[1], '^baton:(%d+):'))
  if ttl and tonumber(last[2]) > now + ttl then
    -- The clock was set back. Nobody is to live longer than its token says.
    redis.call('PEXPIRE', group, LIFE)
    local all = redis.call('ZRANGEBYSCORE', group, '(0', '+inf', 'WITHSCORES')
    for i = 1, #all, 2 do
      local most = now + (tonumber(string.match(all[i], '^baton:(%d+):')) or 0)
      if tonumber(all[i + 1]) > most then redis.call('ZADD', group, most, all[i]) end
    end
  end
  -- A script that has begun to write may go on when Redis is out of memory, and so
  -- it begins for a reason only.
  if redis.call('ZCOUNT', group, '(0', now) > 0 then
    abandoned = abandoned + redis.call('ZREMRANGEBYSCORE', group, '(0', now)
    write()
  end
end

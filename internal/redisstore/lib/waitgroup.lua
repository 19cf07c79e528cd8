--include lib/clock.lua
--include lib/limits.lua
--include lib/publish.lua
-- The state of a wait group, and the operations of which its scripts are made. Nothing is
-- written before the types of all keys are known to be right.
--
-- KEYS  1 the group: a sorted set with these members:
--         score 0: the state, "generation <g> count <n> abandoned <a> since <g>", followed by
--           " scan <cursor>" while a check of all tasks goes on
--         score in ms when the task ends if nobody renews it: a task's token
--         score -g: "abandoned <g> <a>", for each of the last generations that lost tasks
-- ARGV  1 the channel on which the end of a generation is published
--       2 the key as the users of the group name it
--
-- A generation begins when something is added to an empty group, and is finished when the
-- count is 0 and no task is left. Its number is above that of every earlier one, and not
-- below the server's time in us. Of generations before "since" nothing is known: there was
-- no group then, or it was lost.

local MAX_RECORDS = 100 -- of generations that lost tasks

local group, channel, key = KEYS[1], ARGV[1], ARGV[2]

local states = redis.pcall('ZRANGEBYSCORE', group, 0, 0)
if states.err then return states end
local state = states[1]
local generation, count, abandoned, since = 0, 0, 0, 0
local scan = '' -- or " scan <cursor>"
if state then
  local g, n, a, s, rest = string.match(state, '^generation (%d+) count (%d+) abandoned (%d+) since (%d+)(.*)$')
  generation, count, abandoned, since, scan = tonumber(g), tonumber(n), tonumber(a), tonumber(s), rest
end
if not generation or scan ~= '' and not string.match(scan, '^ scan %d+$') or not state and redis.call('EXISTS', group) == 1 then
  return {err = 'ERR the key holds a sorted set that is not a wait group'}
end

local function task_count() return redis.call('ZCOUNT', group, '(0', '+inf') end

-- Begins a generation, unless the last one is not finished.
local function begin_generation()
  if count > 0 or task_count() > 0 then return end
  generation, abandoned = math.max(generation + 1, us), 0
  if not state then since = generation end
end

local function format_state()
  return string.format('generation %.0f count %.0f abandoned %.0f since %.0f', generation, count, abandoned, since) .. scan
end

-- Writes the state, and finishes the generation if nothing is left of it. The first write is
-- one that Redis allows when it is out of memory. The key is never empty in between: while
-- a cluster migrates the slot, it could not be written any more.
local function save()
  local old, unfinished = state, count > 0 or task_count() > 0
  if not unfinished then scan = '' end
  state = format_state()
  if old then redis.call('PEXPIRE', group, GROUP_TTL) end
  redis.call('ZADD', group, 0, state)
  if old and old ~= state then redis.call('ZREM', group, old) end
  if unfinished then
    redis.call('PEXPIRE', group, GROUP_TTL)
    return
  end
  if abandoned > 0 then
    redis.call('ZADD', group, string.format('-%.0f', generation), string.format('abandoned %.0f %.0f', generation, abandoned))
    if redis.call('ZCOUNT', group, '-inf', '(0') > MAX_RECORDS then -- the oldest has the highest score of them
      local oldest = redis.call('ZREVRANGEBYSCORE', group, '(0', '-inf', 'LIMIT', 0, 1)[1]
      redis.call('ZREM', group, oldest, state)
      since = math.max(since, string.match(oldest, '^abandoned (%d+) ') + 1)
      state = format_state()
      redis.call('ZADD', group, 0, state)
    end
  end
  redis.call('PEXPIRE', group, RETENTION)
  publish(channel, string.format('w %.0f 0 0 %.0f 0 - ', generation, abandoned) .. key)
end

-- Limits a batch of tasks to the TTL that their tokens state. After the clock was set back, a
-- dead task would live for that much longer. Returns true if it has begun to write.
local function limit_task_ttls()
  local cursor = string.match(scan, '^ scan (%d+)$')
  if not cursor then
    local last = redis.call('ZREVRANGEBYSCORE', group, '+inf', '(0', 'WITHSCORES', 'LIMIT', 0, 1)
    local ttl = string.match(last[1] or '', '^baton:(%d+):')
    if not ttl or tonumber(last[2]) <= ms + ttl then return false end
    cursor = '0'
  end
  redis.call('PEXPIRE', group, GROUP_TTL)
  local reply = redis.call('ZSCAN', group, cursor, 'COUNT', BATCH)
  for i = 1, #reply[2], 2 do
    local task, ends = reply[2][i], tonumber(reply[2][i + 1])
    local latest = ms + (string.match(task, '^baton:(%d+):') or 0)
    if ends > latest then redis.call('ZADD', group, latest, task) end
  end
  scan = reply[1] ~= '0' and ' scan ' .. reply[1] or ''
  return true
end

-- Ends a batch of tasks that nobody has renewed in time. Returns true if work is left.
local function expire_tasks()
  -- A script that has begun to write may go on when Redis is out of memory. So it begins
  -- only with a reason.
  local writes = limit_task_ttls()
  local expired = redis.call('ZCOUNT', group, '(0', ms)
  if expired > 0 then
    local first, n = redis.call('ZCOUNT', group, '-inf', 0), math.min(expired, BATCH)
    redis.call('ZREMRANGEBYRANK', group, first, first + n - 1)
    abandoned = abandoned + n
  end
  if writes or expired > 0 then save() end
  return expired > BATCH or scan ~= ''
end

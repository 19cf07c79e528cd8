-- Executes an operation on a wait group. A session numbers its operations, and the outcome is
-- stored under the number: an operation that is repeated gets the same outcome and counts
-- nothing. A late copy counts nothing either, after its operation was undone or acknowledged.
--
-- KEYS  1 as in lib/waitgroup.lua
--       2 the session's operations: a hash, number -> "outcome name arg generation found",
--         "acked" -> the number up to which the session needs no outcome any more, and
--         "deleted" -> the number up to which records are deleted, while that is less
-- ARGV  1, 2 as in lib/waitgroup.lua
--       3 number of the operation   4 number up to which the session needs no outcome any more
--       5 name   6 arg   7 ttl in ms, of a task
--         add <delta>: to the count
--         start <token>: one more task      claim <token>: a task in place of one of the count
--         done <token>, abandon <token>: the task has ended, or is abandoned
--         undo: the operation with that number, unless its generation is finished
-- Reply {outcome, found}
--       outcome: 1 applied; 0 rejected: the count would be negative, nothing is left to claim,
--       or there is nothing to undo; 2 rejected: the task was abandoned; -1 rejected: the
--       operation was acknowledged or undone
--       found: the generation before the operation, finished or not, or 0

--include lib/waitgroup.lua
--include lib/type_error.lua
local MAX_DELETED = 1000 -- records that one script deletes at most

local ops = KEYS[2]
local op, acked, name, arg, ttl = ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6], tonumber(ARGV[7])

local known = redis.pcall('HMGET', ops, 'acked', op, 'deleted')
if known.err then return wrap_type_error('ops', known) end
local acked_before, prior = tonumber(known[1] or 0), known[2]
local deleted = tonumber(known[3] or known[1])
if not deleted then deleted = acked > 0 and redis.call('EXISTS', ops) == 0 and acked or 0 end -- after a loss
if tonumber(op) <= acked_before then return {-1, generation} end
expire_tasks()
local found = generation

-- Stores the outcome, and deletes some records that the session needs no more.
local function record_outcome(outcome)
  redis.call('HSET', ops, op, string.format('%d %s %s %.0f %.0f', outcome, name, arg, generation, found))
  acked = math.max(acked, acked_before)
  if acked > acked_before then redis.call('HSET', ops, 'acked', string.format('%.0f', acked)) end
  if acked > deleted then
    local numbers = {}
    for i = deleted + 1, math.min(acked, deleted + MAX_DELETED) do numbers[#numbers + 1] = string.format('%.0f', i) end
    redis.call('HDEL', ops, unpack(numbers))
    deleted = deleted + #numbers
    if acked > deleted then
      redis.call('HSET', ops, 'deleted', string.format('%.0f', deleted))
    elseif known[3] then
      redis.call('HDEL', ops, 'deleted')
    end
  end
  redis.call('PEXPIRE', ops, RETENTION)
  return {outcome, found}
end

if name == 'undo' then
  local outcome, prior_name, prior_arg, g = string.match(prior or '', '^(%S+) (%S+) (%S+) (%d+)')
  local undone = 0
  if outcome == '1' and tonumber(g) == generation and (count > 0 or task_count() > 0) then
    if prior_name == 'add' and count >= tonumber(prior_arg) then
      count, undone = count - prior_arg, 1
    elseif prior_name == 'start' or prior_name == 'claim' then
      undone = redis.call('ZREM', group, prior_arg)
      if prior_name == 'claim' then count = count + undone end
    end
    if undone == 1 then save() end
  end
  record_outcome(-1)
  return {undone, found}
end

if prior then
  local outcome, prior_found = string.match(prior, '^(%S+) .* (%d+)$')
  outcome, found = tonumber(outcome), tonumber(prior_found)
  redis.call('PEXPIRE', ops, RETENTION)
  if outcome == 1 and (name == 'start' or name == 'claim') then
    if redis.call('ZSCORE', group, arg) then
      redis.call('PEXPIRE', group, GROUP_TTL)
      redis.call('ZADD', group, 'XX', ms + ttl, arg) -- as if the operation had come now
    else
      outcome = 2
    end
  end
  return {outcome, found}
end

-- An operation that adds to the group is recorded first: out of memory that fails, and
-- nothing has been added. One that takes something away is recorded last: its first write is
-- allowed, and then so is the record.
local recorded
if name == 'add' then
  if count + arg < 0 then return record_outcome(0) end
  if tonumber(arg) > 0 then
    begin_generation()
    recorded = record_outcome(1)
  end
  count = count + arg
elseif name == 'start' then
  begin_generation()
  recorded = record_outcome(1)
  redis.call('ZADD', group, ms + ttl, arg)
elseif name == 'claim' then
  if count == 0 then return record_outcome(0) end
  recorded = record_outcome(1)
  count = count - 1
  redis.call('ZADD', group, ms + ttl, arg)
else
  if redis.call('ZREM', group, arg) == 0 then return record_outcome(2) end
  if name == 'abandon' then abandoned = abandoned + 1 end
end
save()
return recorded or record_outcome(1)

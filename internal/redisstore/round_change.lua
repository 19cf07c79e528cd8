--include round.lua
-- Changes what a wait group counts. Who does so numbers its operations, and what
-- each was answered is remembered under its number: repeated, it gets the same
-- answer and counts nothing. One that has been undone, or is known to be over,
-- counts nothing either, should a copy of it come late.
--
-- KEYS  2 the operations: a hash, number -> "answer what arg round found", "low" -> the
--         number up to which all are over, and "swept" -> the number up to which all are
--         deleted, while that is less
-- ARGV  3 the operation's number   4 the number up to which all are over by now
--       5 what   6 arg   7 ttl in ms, of a task
--         add <delta>: to the count       go <token>: a task more
--         join <token>: a task for one of the count
--         done <token>, drop <token>: the task has ended, or is abandoned
--         undo: the operation of that number, unless its round is over
-- Reply {answer, found}: found is the round before the operation, which may be over, or 0;
--       the answer is 1 counted; 0 not, as the count would be negative, nothing
--       of it is left to join, or there is nothing to undo; 2 not, as the task has
--       been abandoned; -1 not, as the operation is over or has been undone

local SWEEP = 1000 -- operations that one script deletes at most

local operations = KEYS[2]
local op, low, what, arg, ttl = ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6], tonumber(ARGV[7])

local known = redis.pcall('HMGET', operations, 'low', op, 'swept')
if known.err then
  return {err = 'ERR its operations: ' .. known.err} -- not the key's own type
end
local before, said = tonumber(known[1] or 0), known[2]
local swept = tonumber(known[3] or known[1])
if not swept then swept = low > 0 and redis.call('EXISTS', operations) == 0 and low or 0 end -- after a loss
if tonumber(op) <= before then return {-1, round} end
purge()
local found = round

-- Remembers the answer, and forgets what is over: some more of it each time.
local function remember(answer)
  redis.call('HSET', operations, op, string.format('%d %s %s %.0f %.0f', answer, what, arg, round, found))
  low = math.max(low, before)
  if low > before then redis.call('HSET', operations, 'low', string.format('%.0f', low)) end
  if low > swept then
    local over = {}
    for i = swept + 1, math.min(low, swept + SWEEP) do over[#over + 1] = string.format('%.0f', i) end
    redis.call('HDEL', operations, unpack(over))
    swept = swept + #over
    if low > swept then
      redis.call('HSET', operations, 'swept', string.format('%.0f', swept))
    elseif known[3] then
      redis.call('HDEL', operations, 'swept')
    end
  end
  redis.call('PEXPIRE', operations, KEPT)
  return {answer, found}
end

if what == 'undo' then
  local answer, was, on, r = string.match(said or '', '^(%S+) (%S+) (%S+) (%d+)')
  local undone = 0
  if answer == '1' and tonumber(r) == round and (count > 0 or tasks() > 0) then
    if was == 'add' and count >= tonumber(on) then
      count, undone = count - on, 1
    elseif was == 'go' or was == 'join' then
      undone = redis.call('ZREM', group, on)
      if was == 'join' then count = count + undone end
    end
    if undone == 1 then write() end
  end
  remember(-1)
  return {undone, found}
end

if said then
  local answer, was = string.match(said, '^(%S+) .* (%d+)$')
  answer, found = tonumber(answer), tonumber(was)
  redis.call('PEXPIRE', operations, KEPT)
  if answer == 1 and (what == 'go' or what == 'join') then
    if redis.call('ZSCORE', group, arg) then
      redis.call('PEXPIRE', group, LIFE)
      redis.call('ZADD', group, 'XX', now + ttl, arg) -- as if it had come now
    else
      answer = 2
    end
  end
  return {answer, found}
end

-- What makes a group larger is remembered first: out of memory that fails, and
-- nothing has been counted. What makes it smaller is written first, and then may be
-- remembered.
local remembered
if what == 'add' then
  if count + arg < 0 then return remember(0) end
  if tonumber(arg) > 0 then
    begin()
    remembered = remember(1)
  end
  count = count + arg
elseif what == 'go' then
  begin()
  remembered = remember(1)
  redis.call('ZADD', group, now + ttl, arg)
elseif what == 'join' then
  if count == 0 then return remember(0) end
  remembered = remember(1)
  count = count - 1
  redis.call('ZADD', group, now + ttl, arg)
else
  if redis.call('ZREM', group, arg) == 0 then return remember(2) end
  if what == 'drop' then abandoned = abandoned + 1 end
end
write()
return remembered or remember(1)

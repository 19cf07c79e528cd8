-- Stores the value beside a mutex and releases the mutex, in one step. If the value is of use
-- to the waiters, none of them is granted the lock: each asks again, and leaves with the value.
-- KEYS  as in lib/mutex.lua, and 5 the value
-- ARGV  as in lib/value.lua, and 12 1 if the value is of use to the waiters
-- Reply {outcome as of value_write.lua, reply of mutex_release.lua}
--       The outcome is 1 also if the value was stored before, so that a repetition reports it.

--include lib/value.lua
local outcome = check_write()
if type(outcome) == 'table' and not string.find(outcome.err, 'WRONGTYPE', 1, true) then return outcome end

-- The first write frees the lock: it is allowed when out of memory, and then so are the others.
local released = 1
if outcome == 1 and ARGV[12] == '1' then
  redis.call('DEL', KEYS[1])
else
  local function release()
--include mutex_release.lua
  end
  released = release()
  if type(released) == 'table' then return released end
end
if outcome == 1 then
  store_value()
  if ARGV[12] == '1' then wake_waiters(KEYS[2], KEYS[3], 0, BATCH - 1) end
elseif outcome == 0 then
  local v = redis.pcall('HMGET', value, 'fence', 'token')
  if not v.err and v[1] == ARGV[2] and v[2] == ARGV[1] then outcome = 1 end
end
if type(outcome) == 'table' then return outcome end
return {outcome, released}

-- Reads the value beside a mutex. If there is none that is of use to the caller, acquires the
-- mutex, or queues for it, in the same step.
-- KEYS  as in lib/mutex.lua, and 5 the value
-- ARGV  1 to 6 as in mutex_acquire.lua   7 us of the caller's first request, or 0: a value that
--       was written since is of use although it is not fresh   8 1 if a stale value is of use
--       while another holds the lock
-- Reply {the fence base as of mutex_acquire.lua, or 0 if token does not own the lock, and then as
--       there: ms left, whose the owner is, ...}, 1 if the value is of use, us, reset or '', and
--       if the value is of use, or token owns the lock: the value, as of value_read.lua

--include lib/value.lua
local v = load_value(value)
if v.err then return v end
local held_by = redis.pcall('GET', KEYS[1])
if type(held_by) == 'table' then return held_by end

local found = false
if v[7] then
  local since, fresh_until = tonumber(ARGV[7]), tonumber(v[5])
  found = fresh_until < 0 or us < fresh_until or since > 0 and tonumber(v[4]) > since or
    ARGV[8] == '1' and held_by and held_by ~= ARGV[1] and us < fresh_until + v[6] * 1000
end

local reply = {0, -1, 1}
if found and held_by ~= ARGV[1] then
  if ARGV[3] ~= '0' and redis.pcall('ZREM', KEYS[2], ARGV[1]) == 1 then
    redis.pcall('HDEL', KEYS[3], ARGV[1])
    wake_waiters(KEYS[2], KEYS[3], BATCH - 1, BATCH - 1) -- it has moved up into the first batch
  end
else
  local function acquire()
--include mutex_acquire.lua
  end
  local acquired = acquire()
  if type(acquired) == 'number' then
    reply[1] = acquired
  elseif acquired.err then
    return acquired
  else
    reply[2], reply[3] = acquired[1], acquired[2]
  end
end
reply[4], reply[5], reply[6] = found and 1 or 0, us, v[1] or ''
if v[7] and (found or reply[1] ~= 0) then
  reply[7], reply[8], reply[9], reply[10], reply[11], reply[12], reply[13] =
    v[2], v[3] or '', v[4], redis.call('PTTL', value), v[5], v[6], v[7]
end
return reply

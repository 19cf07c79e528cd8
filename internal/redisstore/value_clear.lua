-- Deletes the value beside a mutex that nobody holds, and publishes that. If somebody holds the
-- mutex, it does nothing: the value is the holder's, or will be.
-- KEYS  1 the lock   2 the value, as in value_write.lua
-- ARGV  1 channel   2 the key as the holder names it
-- Reply 1 if the mutex was free, else 0

--include lib/publish.lua
--include lib/type_error.lua
local v = redis.pcall('HMGET', KEYS[2], 'fence')
if v.err then return wrap_type_error('value', v) end
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('DEL', KEYS[2])
publish(ARGV[1], 'v 0 0 0 0 0 - ' .. ARGV[2])
return 1

-- Deletes the value beside a mutex. If the mutex is held, what its holder may still write is
-- refused.
-- KEYS  1 the lock   2 the value, as in lib/value.lua
-- Reply 1 if there was a value, else 0

--include lib/clock.lua
--include lib/limits.lua
--include lib/type_error.lua
local owner = redis.pcall('GET', KEYS[1])
if type(owner) == 'table' then return owner end
local fence = redis.pcall('HGET', KEYS[2], 'fence')
if type(fence) == 'table' then return wrap_type_error('value', fence) end
redis.call('DEL', KEYS[2])
if owner then
  redis.call('HSET', KEYS[2], 'reset', string.format('%.0f', us))
  redis.call('PEXPIRE', KEYS[2], RETENTION)
end
return fence and 1 or 0

-- Returns the value beside a mutex, and the owner of the mutex. It changes nothing.
-- KEYS  1 the lock: a string, the owner's token
--       2 the value: a hash, as in lib/value.lua
-- Reply {us, owner or '', ms left to the owner or -1, reset or ''}, and if there is a value:
--       fence, token of the writer, us when it was written, ms left of it or -1, fresh_until,
--       stale, the value

--include lib/clock.lua
--include lib/type_error.lua
--include lib/value_load.lua
local owner = redis.pcall('GET', KEYS[1])
if type(owner) == 'table' then return owner end
local v = load_value(KEYS[2])
if v.err then return v end
local reply = {us, owner or '', owner and redis.call('PTTL', KEYS[1]) or -1, v[1] or ''}
if v[7] then
  reply[5], reply[6], reply[7], reply[8], reply[9], reply[10], reply[11] =
    v[2], v[3] or '', v[4], redis.call('PTTL', KEYS[2]), v[5], v[6], v[7]
end
return reply

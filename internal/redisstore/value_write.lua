-- Stores the value beside a mutex, if token owns the mutex. Repeating it changes nothing.
--
-- A token may serve several leases of its process, one after the other, so a late copy of an
-- earlier lease's request comes with a valid token. It has a lower fence, and is refused. A
-- lower fence is right only after the server's clock was set back and the last fence was lost:
-- then the clock is behind the stored fence.
--
-- KEYS  1 the lock
--       2 the value: a hash, value, fence -> its writer's, token -> its writer's,
--         written_at -> us, and reset -> us when the value was last deleted, if the lock was
--         held then: what its holder writes was begun before
-- ARGV  1 token   2 fence   3 ttl in ms, 0 for none   4 reset, as its holder has read it, or ''
--       5 value   6 channel on which to publish the change, or ''   7 the key as the writer names it
-- Reply 1: stored; 0: token does not own the lock; -1: a higher fence has written;
--       -2: the value was deleted since

--include lib/clock.lua
--include lib/type_error.lua
local owner = redis.pcall('GET', KEYS[1])
if type(owner) == 'table' then return owner end
if owner ~= ARGV[1] then return 0 end
local v = redis.pcall('HMGET', KEYS[2], 'reset', 'fence')
if v.err then return wrap_type_error('value', v) end
if (v[1] or '') ~= ARGV[4] then return -2 end
-- Fences are larger than the integers that are exact here: they are compared as text.
local stored, fence = v[2] or '0', ARGV[2]
local lower = #fence < #stored or #fence == #stored and fence < stored
if lower and us >= (tonumber(stored) or 0) / 1024 then return -1 end
redis.call('HSET', KEYS[2], 'value', ARGV[5], 'fence', fence, 'token', ARGV[1], 'written_at', string.format('%.0f', us))
if ARGV[3] == '0' then
  redis.call('PERSIST', KEYS[2])
else
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
if ARGV[6] ~= '' then redis.pcall('PUBLISH', ARGV[6], 'v ' .. fence .. ' 0 0 0 0 - ' .. ARGV[7]) end
return 1

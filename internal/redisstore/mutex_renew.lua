-- Extends the lock if token still owns it. It has one key only, so that it works while a
-- cluster migrates the slot, and it never creates that key.
-- KEYS  1 the lock
-- ARGV  1 token   2 ttl in ms
-- Reply 1 if renewed, 0 if token does not own the lock.

local owner = redis.pcall('GET', KEYS[1])
if type(owner) == 'table' then return owner end
if owner ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1

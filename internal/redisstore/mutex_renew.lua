-- Extends the lock if token still owns it. In most cases it has one key only, so that it works
-- while a cluster migrates the slot. It never creates a key.
-- KEYS  1 the lock   2 the queue, if the reply must state whether others wait
-- ARGV  1 token   2 ttl in ms
-- Reply 2 if renewed and others wait, 1 if renewed, 0 if token does not own the lock.

local owner = redis.pcall('GET', KEYS[1])
if type(owner) == 'table' then return owner end
if owner ~= ARGV[1] then return 0 end
local waiting = KEYS[2] and redis.call('EXISTS', KEYS[2]) == 1
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return waiting and 2 or 1

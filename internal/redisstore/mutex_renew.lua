-- Extends the lock if token still owns it. In most cases it has one key only, so that it works
-- while a cluster migrates the slot. It never creates a key.
-- KEYS  1 the lock   2 the queue, if the reply must state whether others wait   3 the value, if its
--       life must be extended, too
-- ARGV  1 token   2 ttl in ms
-- Reply 2 if renewed and others wait, 1 if renewed, 0 if token does not own the lock; and 4 more
--       if renewed and there is no value.

--include lib/limits.lua
local owner = redis.pcall('GET', KEYS[1])
if type(owner) == 'table' then return owner end
if owner ~= ARGV[1] then return 0 end
local waiting = KEYS[2] and redis.call('EXISTS', KEYS[2]) == 1
local no_value = KEYS[3] and redis.call('PEXPIRE', KEYS[3], RETENTION) == 0
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return (waiting and 2 or 1) + (no_value and 4 or 0)

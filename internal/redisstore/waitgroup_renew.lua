-- Extends a task of a wait group. It never creates a task, nor revives one that has expired.
-- KEYS  1 the group, as in lib/waitgroup.lua
-- ARGV  1 token   2 ttl in ms
-- Reply 1 if the task is alive, else 0

--include lib/clock.lua
--include lib/limits.lua
local ends = redis.pcall('ZSCORE', KEYS[1], ARGV[1])
if type(ends) == 'table' then return ends end
if not ends or tonumber(ends) <= ms then return 0 end
redis.call('PEXPIRE', KEYS[1], GROUP_TTL)
redis.call('ZADD', KEYS[1], 'XX', ms + ARGV[2], ARGV[1])
return 1

-- Extends the life of a wait group's task. It never creates one, nor revives one
-- whose time is over.
--
-- KEYS  1 the group, see round.lua
-- ARGV  1 token   2 ttl in ms
-- Reply 1 if the task lives, else 0

local LIFE = 86400000 -- ms, as in round.lua
local time = redis.call('TIME')
local now = math.floor((time[1] * 1000000 + time[2]) / 1000)
local ends = redis.pcall('ZSCORE', KEYS[1], ARGV[1])
if type(ends) == 'table' then return ends end
if not ends or tonumber(ends) <= now then return 0 end
redis.call('PEXPIRE', KEYS[1], LIFE)
redis.call('ZADD', KEYS[1], 'XX', now + ARGV[2], ARGV[1])
return 1

-- Moves the end of what token holds, if it still does. It names one key only, so
-- that it works while a cluster moves the slot, and it never creates that key.
-- KEYS  1 the user's key, as in permits.lua
-- ARGV  1 token   2 kind   3 ttl in ms
-- Reply 2 if renewed and others wait, 1 if renewed, 0 if token holds nothing.

local got = redis.pcall('HMGET', KEYS[1], 'state', ARGV[1])
if got.err then return got end
if not got[1] or not got[2] then return 0 end
local time = redis.call('TIME')
local ms = math.floor((time[1] * 1000000 + time[2]) / 1000)
local expires, weight, ttl, rest = string.match(got[2], '^(%d+) (%d+) (%d+) (.*)$')
local head, kind, waiting, life, at, tail = string.match(got[1], '^((%a) %d+ %d+ %d+ (%d+) %d+) (%d+) (%d+)(.*)$')
if not expires or kind ~= ARGV[2] or tonumber(expires) <= ms then return 0 end

-- Never earlier, and with the time of this: other scripts count on both.
local function most(a, b) return string.format('%.0f', math.max(tonumber(a), tonumber(b))) end
ttl, life = most(ttl, ARGV[3]), most(life, ARGV[3])
redis.call('PEXPIRE', KEYS[1], life) -- allowed when out of memory, and then so is the rest
redis.call('HSET', KEYS[1], ARGV[1], most(expires, ms + tonumber(ARGV[3])) .. ' ' .. weight .. ' ' .. ttl .. ' ' .. rest,
  'state', head .. ' ' .. life .. ' ' .. most(at, ms) .. tail)
return tonumber(waiting) > 0 and 2 or 1

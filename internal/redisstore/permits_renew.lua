-- Extends the hold of token if it has not ended. It has one key only, so that it works while
-- a cluster migrates the slot, and it never creates that key.
-- KEYS  1 the user's key, as in lib/permits.lua
-- ARGV  1 token   2 kind   3 ttl in ms
-- Reply 1 if renewed and nobody waits, 2 if one token waits, which may be this one, 3 if more
--       wait; 0 if token holds nothing.

local got = redis.pcall('HMGET', KEYS[1], 'state', ARGV[1])
if got.err then return got end
if not got[1] or not got[2] then return 0 end
--include lib/clock.lua
local expires, weight, ttl, rest = string.match(got[2], '^(%d+) (%d+) (%d+) (.*)$')
local head, kind, queue_len, key_ttl, written_at, tail = string.match(got[1], '^((%a) %d+ %d+ %d+ (%d+) %d+) (%d+) (%d+)(.*)$')
if not expires or kind ~= ARGV[2] or tonumber(expires) <= ms then return 0 end

-- The end never moves back, and the state gets the time: other scripts rely on both.
local function later(a, b) return string.format('%.0f', math.max(tonumber(a), tonumber(b))) end
ttl, key_ttl = later(ttl, ARGV[3]), later(key_ttl, ARGV[3])
redis.call('PEXPIRE', KEYS[1], key_ttl) -- allowed when out of memory, and then so are the other writes
redis.call('HSET', KEYS[1], ARGV[1], later(expires, ms + tonumber(ARGV[3])) .. ' ' .. weight .. ' ' .. ttl .. ' ' .. rest,
  'state', head .. ' ' .. key_ttl .. ' ' .. later(written_at, ms) .. tail)
return 1 + math.min(tonumber(queue_len), 2)

-- Says who has permits and who waits for some. It changes nothing, and so it does
-- not include permits.lua, which repairs what it finds: what has run out, or has
-- been lost, is left out here.
--
-- KEYS  as in permits.lua
-- ARGV  1 kind
-- Reply {size, last fence base, how many wait, the first of them or '', what it wants,
--       for each holder: token, permits, ms left, fence base, 1 if shared}
--       All is 0 if the key is not in use.

local ENTRY_LIFE = 3600 -- ms, as in permits.lua
local time = redis.call('TIME')
local ms = math.floor((time[1] * 1000000 + time[2]) / 1000)

local all = redis.pcall('HGETALL', KEYS[1])
if all.err then return all end
if #all == 0 then return {0, 0, 0, '', 0} end
local size, last
local holders = {}
for i = 1, #all, 2 do
  local token, text = all[i], all[i + 1]
  if token == 'state' then
    local kind, s, l = string.match(text, '^(%a) (%d+) %d+ %d+ %d+ (%d+) %d+ %d+$')
    if kind and kind ~= ARGV[1] then
      return {err = 'WRONGTYPE the key is in use as ' .. (kind == 'r' and 'an RWMutex' or 'a semaphore')}
    end
    size, last = tonumber(s), tonumber(l)
  else
    local expires, weight, base, shared = string.match(text, '^(%d+) (%d+) %d+ %d+ %d+ %d+ (%d+) (%d) ')
    if expires and tonumber(expires) > ms then
      for _, v in ipairs({token, tonumber(weight), expires - ms, tonumber(base), tonumber(shared)}) do
        holders[#holders + 1] = v
      end
    end
  end
end
if not size then return {err = 'WRONGTYPE the key is a hash, but not of this library'} end

local line = redis.pcall('ZRANGE', KEYS[3], 0, -1)
if line.err then return {err = 'ERR its line: ' .. line.err} end
local live, first, wants = 0, '', 0
for _, token in ipairs(line) do
  local entry = redis.pcall('HGET', KEYS[4], token)
  if type(entry) == 'table' then return {err = 'ERR its entries: ' .. entry.err} end
  local seen, want = string.match(entry or '', '^(%d+) %d+ %d+ %d+ (%d+) ')
  if seen and ms - tonumber(seen) < ENTRY_LIFE then
    if live == 0 then first, wants = token, tonumber(want) end
    live = live + 1
  end
end
local reply = {size, last, live, first, wants}
for _, v in ipairs(holders) do reply[#reply + 1] = v end
return reply

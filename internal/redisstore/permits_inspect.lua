-- Says who has permits and who waits for some. It changes nothing, and so it does
-- not include permits.lua, which repairs what it finds: what has run out, or has
-- been lost, is left out here.
--
-- KEYS  as in permits.lua
-- ARGV  1 kind
-- Reply {size, permits in use, last fence base, number of waiters, the first of them or '',
--       what it wants, number of further holders, for each holder: token, permits, ms left,
--       fence base, 1 if shared}
--       All is 0 if the key is not in use. It reads about 1,000 holders, and the first 1,000
--       entries of the queue. Those behind count as alive.

local ENTRY_LIFE, PAGE = 3600, 1000 -- ENTRY_LIFE in ms, as in permits.lua
local time = redis.call('TIME')
local ms = math.floor((time[1] * 1000000 + time[2]) / 1000)

local state = redis.pcall('HGET', KEYS[1], 'state')
if type(state) == 'table' then return state end
if not state and redis.call('EXISTS', KEYS[1]) == 0 then return {0, 0, 0, 0, '', 0, 0} end
local kind, size, used, last = string.match(state or '', '^(%a) (%d+) %d+ (%d+) %d+ (%d+) %d+ %d+')
if not kind then return {err = 'WRONGTYPE the key is a hash, but not of this library'} end
if kind ~= ARGV[1] then
  return {err = 'WRONGTYPE the key is in use as ' .. (kind == 'r' and 'an RWMutex' or 'a semaphore')}
end

local all = redis.call('HSCAN', KEYS[1], '0', 'COUNT', PAGE)[2]
local more = redis.call('HLEN', KEYS[1]) - 1
local sum, holders = 0, {}
for i = 1, #all, 2 do
  local token = all[i]
  if token ~= 'state' then more = more - 1 end
  local expires, weight, base, shared = string.match(all[i + 1], '^(%d+) (%d+) %d+ %d+ %d+ %d+ (%d+) (%d) ')
  if token ~= 'state' and expires and tonumber(expires) > ms then
    sum = sum + weight
    for _, v in ipairs({token, tonumber(weight), expires - ms, tonumber(base), tonumber(shared)}) do
      holders[#holders + 1] = v
    end
  end
end
if more > 0 then sum = tonumber(used) end

local count = redis.pcall('ZCARD', KEYS[3])
if type(count) == 'table' then return {err = 'ERR its line: ' .. count.err} end
local first, wants = '', 0
if count > 0 then
  local line = redis.call('ZRANGE', KEYS[3], 0, PAGE - 1)
  local entries = redis.pcall('HMGET', KEYS[4], unpack(line))
  if entries.err then return {err = 'ERR its entries: ' .. entries.err} end
  for i, entry in ipairs(entries) do
    local seen, want = string.match(entry or '', '^(%d+) %d+ %d+ %d+ (%d+) ')
    if not seen or ms - tonumber(seen) >= ENTRY_LIFE then
      count = count - 1
    elseif first == '' then
      first, wants = line[i], tonumber(want)
    end
  end
end
local reply = {tonumber(size), sum, tonumber(last), count, first, wants, more}
for _, v in ipairs(holders) do reply[#reply + 1] = v end
return reply

-- Returns the holders of permits and the waiters. It changes nothing, so it does not include
-- lib/permits.lua, which repairs what it finds. It leaves out holds that have ended.
--
-- KEYS  as in lib/permits.lua
-- ARGV  1 kind
-- Reply {size, used permits, last fence base, number of waiters, number of further holders,
--       number of listed waiters, for each of them: token, permits, 1 if shared, for each
--       holder: token, permits, ms left, fence base, 1 if shared}
--       All is 0 if the key is not in use. It reads about 1,000 holders, and the first 1,000
--       entries of the queue. Those behind count as live. It lists up to 100 waiters.

--include lib/clock.lua
--include lib/limits.lua
--include lib/type_error.lua
local PAGE = 1000

local state = redis.pcall('HGET', KEYS[1], 'state')
if type(state) == 'table' then return state end
if not state and redis.call('EXISTS', KEYS[1]) == 0 then return {0, 0, 0, 0, 0, 0} end
local kind, size, used, last_base = string.match(state or '', '^(%a) (%d+) %d+ (%d+) %d+ (%d+) %d+ %d+')
if not kind then return {err = 'WRONGTYPE the key is a hash, but not of this library'} end
if kind ~= ARGV[1] then
  return {err = 'WRONGTYPE the key is in use as ' .. (kind == 'r' and 'an RWMutex' or 'a semaphore')}
end

local page = redis.call('HSCAN', KEYS[1], '0', 'COUNT', PAGE)[2]
local more = redis.call('HLEN', KEYS[1]) - 1
local sum, holders = 0, {}
for i = 1, #page, 2 do
  local token = page[i]
  if token ~= 'state' then more = more - 1 end
  local expires, weight, base, shared = string.match(page[i + 1], '^(%d+) (%d+) %d+ %d+ %d+ %d+ (%d+) (%d) ')
  if token ~= 'state' and expires and tonumber(expires) > ms then
    sum = sum + weight
    for _, v in ipairs({token, tonumber(weight), expires - ms, tonumber(base), tonumber(shared)}) do
      holders[#holders + 1] = v
    end
  end
end
if more > 0 then sum = tonumber(used) end

local count = redis.pcall('ZCARD', KEYS[3])
if type(count) == 'table' then return wrap_type_error('queue', count) end
local listed = {}
if count > 0 then
  local tokens = redis.call('ZRANGE', KEYS[3], 0, PAGE - 1)
  local entries = redis.pcall('HMGET', KEYS[4], unpack(tokens))
  if entries.err then return wrap_type_error('waiters', entries) end
  for i, entry in ipairs(entries) do
    local seen_at, want, shared = string.match(entry or '', '^(%d+) %d+ %d+ %d+ (%d+) %d+ (%d) ')
    if not seen_at or tonumber(seen_at) <= ms - WAITER_TTL then
      count = count - 1
    elseif #listed < 300 then
      for _, v in ipairs({tokens[i], tonumber(want), tonumber(shared)}) do listed[#listed + 1] = v end
    end
  end
end
local reply = {tonumber(size), sum, tonumber(last_base), count, more, #listed / 3}
for _, v in ipairs(listed) do reply[#reply + 1] = v end
for _, v in ipairs(holders) do reply[#reply + 1] = v end
return reply

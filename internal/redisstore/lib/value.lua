--include lib/clock.lua
--include lib/limits.lua
--include lib/publish.lua
--include lib/type_error.lua
--include lib/value_load.lua
-- The parts of the scripts that store the value beside a mutex, or wait for it.
--
-- KEYS  1 the lock, and the last: the value, a hash:
--         value, fence -> its writer's, token -> its writer's, written_at -> us,
--         fresh_until -> us, until then nobody makes another value; -1: without limit
--         stale -> ms for which it is of use after that, while somebody makes another
--         kind -> what uses it
--         reset -> us when the value was last deleted, if the lock was held then: what its
--         holder writes was begun before
-- ARGV  of a write: 1 token   2 fence   3 ttl in ms, 0 for none   4 reset, as its holder has
--       read it, or ''   5 value   6 channel on which to publish the change, or ''
--       7 the key as the writer names it   8 kind   9 us from which its freshness counts, 0 for
--       now   10 ms for which it is fresh, -1: without limit   11 stale

local value = KEYS[#KEYS]

-- Returns 1 if the owner may write, 0 if token does not own the lock, -1 if a higher fence has
-- written, -2 if the value was deleted since, and else an error.
--
-- A token may serve several leases of its process, one after the other, so a late copy of an
-- earlier lease's request comes with a valid token. It has a lower fence, and is refused. A
-- lower fence is right only after the server's clock was set back and the last fence was lost:
-- then the clock is behind the stored fence.
local function check_write()
  local owner = redis.pcall('GET', KEYS[1])
  if type(owner) == 'table' then return owner end
  if owner ~= ARGV[1] then return 0 end
  local v = redis.pcall('HMGET', value, 'reset', 'fence')
  if v.err then return wrap_type_error('value', v) end
  if (v[1] or '') ~= ARGV[4] then return -2 end
  -- Fences are larger than the integers that are exact here: they are compared as text.
  local stored, fence = v[2] or '0', ARGV[2]
  if not is_integer(stored, 19) then stored = '0' end
  local lower = #fence < #stored or #fence == #stored and fence < stored
  if lower and us >= stored / 1024 then return -1 end
  return 1
end

local function store_value()
  local fresh_until = ARGV[10]
  if tonumber(fresh_until) > 0 then
    fresh_until = string.format('%.0f', (ARGV[9] == '0' and us or tonumber(ARGV[9])) + ARGV[10] * 1000)
  end
  redis.call('HSET', value, 'value', ARGV[5], 'fence', ARGV[2], 'token', ARGV[1],
    'written_at', string.format('%.0f', us), 'fresh_until', fresh_until, 'stale', ARGV[11], 'kind', ARGV[8])
  if ARGV[3] == '0' then
    redis.call('PERSIST', value)
  else
    redis.call('PEXPIRE', value, ARGV[3])
  end
  if ARGV[6] ~= '' then publish(ARGV[6], 'v ' .. ARGV[2] .. ' 0 0 0 0 - ' .. ARGV[7]) end
end

-- Has the waiters at these places of the queue ask again: there is a value for them. A message
-- that is lost costs a waiter the time until its next poll.
local function wake_waiters(queue, waiters, first, last)
  local tokens = redis.pcall('ZRANGE', queue, first, last)
  if tokens.err or not tokens[1] then return end
  local entries = redis.pcall('HMGET', waiters, unpack(tokens))
  for i, entry in ipairs(entries) do
    local channel, key = string.match(entry or '', '^%d+ %d+ %d+ (%a%S*) (.*)$')
    if channel then publish(channel, 'm 0 0 0 0 1 ' .. tokens[i] .. ' ' .. key) end
  end
end

-- Takes tokens from the bucket of a rate limit, now or for a time to come, or
-- gives back what a reservation has taken. It is GCRA, but counts tokens rather
-- than adding up times: the bucket is full again at base + taken / rate, taken
-- being all that was taken since base. So nothing is rounded from one decision
-- to the next, whatever the rate.
--
-- KEYS  1 the bucket: a string "limit base taken rate last", times in us, last
--         being the time of the last write   2 the reservation, if it has an id:
--         a string "base taken n act wait", taken as of then, or "back"
-- ARGV  1 n, or 0 to give back   2 rate per second   3 burst   4 longest wait in us
-- Reply {1, us}: taken, to be used in so many us.
--       {0, us}: not taken, as that would be so many us away.
--       {-1, 0}: not taken, as the reservation has been given back.
--       Giving back: {1, 0} if some tokens were given back, and else {0, 0}.

local MEMORY = 15000 -- ms; how long after its use a reservation is known
local FOREVER = 1e14 -- ms; about as long as Redis lets a key live
local NEVER = 9e15   -- us; as far ahead as a reservation goes

local bucket, reservation = KEYS[1], KEYS[2]
local n, rate, burst, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local state = redis.pcall('GET', bucket)
if type(state) == 'table' then return state end
local record = reservation and redis.pcall('GET', reservation)
if type(record) == 'table' then return record end

local base, taken, turned = now, 0, false
if state then
  local b, t, r, last = string.match(state, '^limit (%d+) (%S+) (%S+) (%d+)$')
  b, t, last = tonumber(b), tonumber(t), tonumber(last)
  if not (b and t and last and tonumber(r)) then
    return {err = 'ERR the key holds a string that is not the state of a limiter'}
  end
  turned = now < last -- the clock was set back: since then no time has passed
  local left = t - (math.max(now, last) - b) * tonumber(r) / 1e6
  if turned or r ~= ARGV[2] then
    -- As from now, on this clock and at this rate. What would print as 1e-05 is
    -- not read back everywhere.
    taken = math.max(math.ceil(left * 1000) / 1000, 0)
  elseif left > 0 then
    base, taken = b, t
  end
end

local function write()
  local value = string.format('limit %.0f %.17g ', base, taken) .. ARGV[2] .. string.format(' %.0f', now)
  local ms = math.ceil((taken * 1e6 / rate - (now - base)) / 1000) -- until the bucket is full
  redis.call('SET', bucket, value, 'PX', string.format('%.0f', math.min(math.max(ms, 1), FOREVER)))
end

if n == 0 then
  -- A request that comes later than this finds that it is not wanted.
  redis.call('SET', reservation, 'back', 'PX', MEMORY)
  local b, t, m = string.match(record or '', '^(%d+) (%S+) (%S+) ')
  -- Those who reserved later keep their times: what they have taken stays taken.
  local back = tonumber(b) == base and tonumber(m) - math.max(taken - tonumber(t), 0) or 0
  if back <= 0 then return {0, 0} end
  taken = taken - back
  if taken > (now - base) * rate / 1e6 then write() else redis.call('DEL', bucket) end
  return {1, 0}
end

if record then
  local act, wait = string.match(record, ' (%d+) (%d+)$')
  if not act then return {-1, 0} end
  -- Not longer than it was told first, should the clock have been set back.
  wait = math.max(math.min(act - now, tonumber(wait)), 0)
  redis.call('PEXPIRE', reservation, string.format('%.0f', math.ceil(wait / 1000) + MEMORY))
  return {1, wait}
end

local missing, wait = taken + n - burst, 0
if missing > 0 then
  wait = math.min(math.max(math.ceil(missing * 1e6 / rate - (now - base)), 0), NEVER)
end
if wait > longest or wait == NEVER then
  if turned then write() end -- else no time would pass until the clock is where it was
  return {0, wait}
end
taken = taken + n
write()
if reservation then
  redis.call('SET', reservation, string.format('%.0f %.17g %.0f %.0f %.0f', base, taken, n, now + wait, wait),
    'PX', string.format('%.0f', math.ceil(wait / 1000) + MEMORY))
end
return {1, wait}

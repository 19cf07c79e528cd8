-- Takes tokens from the bucket of a rate limiter, now or for a later time, or refunds those
-- that a reservation took. It is GCRA, but it counts tokens and does not add up times: the
-- bucket is full again at base + taken / rate, where taken is all that was taken since base.
-- So no decision rounds what the next one starts from, whatever the rate.
--
-- KEYS  1 the bucket: a string "limit base taken rate written_at", times in us
--       2 the reservation, if it has an id: a string "base taken n due_at wait", with what
--         was taken by then, or "refunded"
-- ARGV  1 n, or 0 to refund   2 rate per second   3 burst   4 longest wait in us
-- Reply {1, us}: taken; to be used after that time.
--       {0, us}: not taken, as the wait would be that long.
--       {-1, 0}: not taken, as the reservation was refunded.
--       A refund: {1, 0} if some tokens were refunded, and else {0, 0}.

--include lib/clock.lua
--include lib/limits.lua
local MAX_TTL_MS = 1e14  -- about the longest TTL that Redis accepts
local MAX_WAIT_US = 9e15 -- no reservation is further ahead

local bucket, reservation = KEYS[1], KEYS[2]
local n, rate, burst, max_wait = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local state = redis.pcall('GET', bucket)
if type(state) == 'table' then return state end
local record = reservation and redis.pcall('GET', reservation)
if type(record) == 'table' then return record end

local base, taken, clock_went_back = us, 0, false
if state then
  local b, t, r, w = string.match(state, '^limit (%d+) (%S+) (%S+) (%d+)$')
  local written_at
  b, t, written_at = tonumber(b), tonumber(t), tonumber(w)
  if not (b and t and written_at and tonumber(r)) then
    return {err = 'ERR the key holds a string that is not the state of a limiter'}
  end
  clock_went_back = us < written_at -- no time has passed since then
  local left = t - (math.max(us, written_at) - b) * tonumber(r) / 1e6
  if clock_went_back or r ~= ARGV[2] then
    -- From now on, by this clock and at this rate. Not every server reads 1e-05 back, so
    -- small numbers are rounded up.
    taken = math.max(math.ceil(left * 1000) / 1000, 0)
  elseif left > 0 then
    base, taken = b, t
  end
end

local function save()
  local value = string.format('limit %.0f %.17g ', base, taken) .. ARGV[2] .. string.format(' %.0f', us)
  local ttl = math.ceil((taken * 1e6 / rate - (us - base)) / 1000) -- until the bucket is full
  redis.call('SET', bucket, value, 'PX', string.format('%.0f', math.min(math.max(ttl, 1), MAX_TTL_MS)))
end

if n == 0 then
  -- A late copy of the request finds the mark, and takes nothing.
  redis.call('SET', reservation, 'refunded', 'PX', RESERVATION_TTL)
  local b, t, m = string.match(record or '', '^(%d+) (%S+) (%S+) ')
  -- Later reservations keep their times, so what they took is not refunded.
  local refund = tonumber(b) == base and tonumber(m) - math.max(taken - tonumber(t), 0) or 0
  if refund <= 0 then return {0, 0} end
  taken = taken - refund
  if taken > (us - base) * rate / 1e6 then save() else redis.call('DEL', bucket) end
  return {1, 0}
end

if record then
  local due_at, wait = string.match(record, ' (%d+) (%d+)$')
  if not due_at then return {-1, 0} end
  -- Not longer than the first reply said, if the clock was set back.
  wait = math.max(math.min(due_at - us, tonumber(wait)), 0)
  redis.call('PEXPIRE', reservation, string.format('%.0f', math.ceil(wait / 1000) + RESERVATION_TTL))
  return {1, wait}
end

local missing, wait = taken + n - burst, 0
if missing > 0 then
  wait = math.min(math.max(math.ceil(missing * 1e6 / rate - (us - base)), 0), MAX_WAIT_US)
end
if wait > max_wait or wait == MAX_WAIT_US then
  if clock_went_back then save() end -- else no time would pass until the clock is where it was
  return {0, wait}
end
taken = taken + n
save()
if reservation then
  redis.call('SET', reservation, string.format('%.0f %.17g %.0f %.0f %.0f', base, taken, n, us + wait, wait),
    'PX', string.format('%.0f', math.ceil(wait / 1000) + RESERVATION_TTL))
end
return {1, wait}

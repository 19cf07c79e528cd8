-- Takes tokens from the bucket of a rate limiter, now or for a later time, or refunds those
-- that a reservation took. It is GCRA, but it counts tokens and does not add up times: the
-- bucket is full again at base + taken / rate, where taken is all that was taken since base.
-- So no decision rounds what the next one starts from, whatever the rate.
--
-- KEYS  1 the bucket: a string "limit base taken rate written_at burst", times in us
--       2 the reservation, if it has an id: a string "base taken n due_at wait", with what
--         was taken by then, or "refunded"
--       3 … finished reservations, whose every request was answered
-- ARGV  1 n, or 0 to refund   2 rate per second   3 burst   4 longest wait in us
-- Reply {1, us}: taken; to be used after that time.
--       {0, us}: not taken, as the wait would be that long.
--       {-1, 0}: not taken, as the reservation was refunded.
--       A refund: {1, 0} if some tokens were refunded, and else {0, 0}.

--include lib/limiter.lua
--include lib/limits.lua
local MAX_TTL_MS = 1e14  -- about the longest TTL that Redis accepts

local bucket, reservation = KEYS[1], KEYS[2]
local n, rate, burst, max_wait = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local record = reservation and redis.pcall('GET', reservation)
if type(record) == 'table' then return record end

local base, taken = us, 0
if stored then
  if clock_went_back or stored.rate ~= ARGV[2] then
    -- From now on, by this clock and at this rate. Not every server reads 1e-05 back, so
    -- small numbers are rounded up.
    taken = math.max(math.ceil(missing * 1000) / 1000, 0)
  elseif missing > 0 then
    base, taken = stored.base, stored.taken
  end
end
if #KEYS > 2 then redis.call('DEL', unpack(KEYS, 3)) end

local function save()
  local value = string.format('limit %.0f %.17g ', base, taken) .. ARGV[2] .. string.format(' %.0f ', us) .. ARGV[3]
  local ttl = math.ceil((taken * 1e6 / rate - (us - base)) / 1000) -- until the bucket is full
  redis.call('SET', bucket, value, 'PX', string.format('%.0f', math.min(math.max(ttl, 1), MAX_TTL_MS)))
end

if n == 0 then
  -- A late copy of the request finds the mark, and takes nothing. Redis that is out of
  -- memory allows DEL, and then the rest.
  redis.call('DEL', reservation)
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

local lacking, wait = taken + n - burst, 0
if lacking > 0 then
  wait = math.min(math.max(math.ceil(lacking * 1e6 / rate - (us - base)), 0), MAX_WAIT_US)
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

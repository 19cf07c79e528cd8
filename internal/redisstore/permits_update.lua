-- States what token keeps of its permits and what it wants in addition. Grants that if
-- there is room and nobody is ahead, and queues for it otherwise.
-- KEYS  as in lib/permits.lua
-- ARGV  1 token   2 kind   3 number of this request   4 ttl in ms   5 permits that it keeps
--       6 permits that it wants in addition, or 0   7 number of the first request that wanted them
--       8 the size that its process expects   9 1 to queue   10 ttl in ms that a hand-over gives
--       11 channel on which to publish it   12, 13 1 if what it wants, or keeps, is shared:
--       then it is notified when others wait   14 extra permits that it can use, if they are
--       free and nobody waits   15 the key as the waiter names it
-- Reply {1, fence base, 1 if others wait, permits that it holds, permits just granted}: it has what it wants.
--       {0, 0, 1 if others wait, ms until a hold may end or -1, 1 if a holder may only linger}:
--       it does not, or wants nothing. With 0 ms work is left, which the next request goes on
--       with at once.
--       {-1, 0, 0, 0, 0}: what it wants to keep is lost.
--       {-2, size, 0, 0, 0}: it wants more than the size, or expects another size.

--include lib/permits.lua
local seq, ttl, keep, want, want_seq = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local expected_size = tonumber(ARGV[8])
local e = {seq = seq, handover_ttl = tonumber(ARGV[10]), ttl = ttl, want = want, want_seq = want_seq,
  shared = ARGV[12], channel = ARGV[11], key = ARGV[15]}
local queued = entries_len > 0 and parse_entry(redis.call('HGET', waiters, self)) or nil
local live_hold = self_hold and self_hold.expires > ms and self_hold or nil

if live_hold and seq <= live_hold.last_seq or queued and seq <= queued.seq then
  -- A copy, or one that a later request has overtaken. It changes nothing, so its reply must
  -- not extend a hold. If there was a grant, the next request finds it.
  return {0, 0, queue_len > 0 and 1 or 0, -1, 0}
end
if keep > 0 and (not live_hold or live_hold.weight < keep) then return {-1, 0, 0, 0, 0} end

-- What was granted stays granted, however small the semaphore has become since. A request
-- for more than the size, or with another size, wants nothing.
local granted = want > 0 and live_hold ~= nil and live_hold.want_seq == want_seq -- by a hand-over that it has not received
local refused = want > 0 and not granted and
  (size and expected_size ~= size and expected_size ~= declared_size or want > (size or expected_size))
if refused then want = 0 end
if want == 0 and not live_hold and not (queued and size) then -- there was nothing, and nothing is left
  if queued then leave_queue(self) end
  if refused then return {-2, size or expected_size, 0, 0, 0} end
  return {0, 0, queue_len > 0 and 1 or 0, -1, 0}
end
if not size then size, declared_size = expected_size, expected_size end

-- A first write that is allowed when out of memory allows the other writes of its script.
if live_hold then
  redis.call('PEXPIRE', main, integer(key_ttl))
elseif queued then
  redis.call('PEXPIRE', waiters, WAITER_TTL)
end
local next_end = expire_holds()
if live_hold then
  live_hold = self_hold
  local kept = math.min(live_hold.weight, keep + (granted and live_hold.granted or 0))
  used, indexed = used - (live_hold.weight - kept), indexed - (live_hold.weight - kept)
  live_hold.weight, live_hold.last_seq, live_hold.ttl, live_hold.shared = kept, seq, ttl, granted and e.shared or ARGV[13]
  live_hold.expires = math.max(live_hold.expires, ms + ttl)
  key_ttl = math.max(key_ttl, ttl)
  if kept > 0 then
    store_hold(self, live_hold)
  else
    remove_hold(self, live_hold)
  end
end

local function store_entry()
  redis.call('HSET', waiters, self, string.format('%.0f %.0f %.0f %.0f %.0f %.0f ', ms, seq, e.handover_ttl, ttl, want, want_seq) ..
    e.shared .. ' ' .. e.channel .. ' ' .. e.key)
end

if queued and (want == 0 or granted or queued.want_seq ~= want_seq) then
  leave_queue(self)
  queued = nil
elseif queued then
  store_entry()
end
local left = grant_waiters()

if want > 0 and not granted then
  if queued then
    granted = self_hold ~= nil and self_hold.want_seq == want_seq
  elseif queue_len == 0 and used + want <= size then
    grant(self, e, ttl, math.min(tonumber(ARGV[14]), size - used - want))
    granted = true
  elseif ARGV[9] == '1' then
    local tail = redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2]
    redis.call('ZADD', queue, integer((tail or 0) + 1), self)
    store_entry()
    queue_len = queue_len + 1
    if kind == 'r' and queue_len == 1 then unnotified = index_len end
    queued = e
  end
end
if queued and not granted then
  drop_stale_ahead(self)

  -- The first waiter notifies the holders that want to know that others wait, a batch at most:
  -- as it enters the queue, and at each of its polls, as a message may be lost.
  if redis.call('ZRANGE', queue, 0, 0)[1] == self then
    for _, token in ipairs(redis.call('ZRANGE', holders, 0, BATCH - 1)) do
      local channel = token ~= self and notice_channel(token)
      if channel then notifications[#notifications + 1] = {token = token, channel = channel, seq = 0, want_seq = 0, base = 0, weight = 0} end
    end
  end

  -- Notify a batch of the other shared holders that others wait.
  if unnotified > 0 then
    local first = math.max(unnotified - BATCH, 0)
    local tokens = redis.call('ZRANGE', holders, first, unnotified - 1)
    unnotified, left = first, left or first > 0
    for i, text in ipairs(tokens[1] and redis.call('HMGET', main, unpack(tokens)) or tokens) do
      local h = tokens[i] ~= self and parse_hold(text)
      if h and h.shared == '1' and not notice_channel(tokens[i]) then
        notifications[#notifications + 1] = {token = tokens[i], channel = h.channel, seq = 0, want_seq = 0, base = 0, weight = 0}
      end
    end
  end
  redis.call('PEXPIRE', queue, WAITER_TTL)
  redis.call('PEXPIRE', waiters, WAITER_TTL)
end
save()
if refused then return {-2, size, 0, 0, 0} end
if granted then return {1, self_hold.base, queue_len > 0 and 1 or 0, self_hold.weight, self_hold.granted} end
local lingers = 0
if want > 0 and not queued then -- a try: it must not fail because of a claim that only lingers
  for _, token in ipairs(redis.call('ZRANGE', holders, 0, BATCH - 1)) do
    if select(2, notice_channel(token)) then lingers = 1 end
  end
end
return {0, 0, queue_len > (queued and 1 or 0) and 1 or 0, left and 0 or next_end and next_end - ms or -1, lingers}

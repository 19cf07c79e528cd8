--include lib/clock.lua
--include lib/limits.lua
--include lib/next_fence.lua
--include lib/type_error.lua
--include lib/slot_migration.lua
--include lib/contention.lua
--include lib/publish.lua
-- The state of a reader/writer lock or a semaphore, and the operations of which their
-- scripts are made. Both are permits: a semaphore has as many as its size; a reader/writer
-- lock has 2^40, of which a reader takes one and a writer all. Nothing is written before the
-- types of all keys are known to be right.
--
-- KEYS  1 the user's key: a hash, token -> hold, and 'state' ->
--         "kind size declared_size used queue_len last_base key_ttl written_at", followed by
--         " unnotified cursor indexed" while work is left for the next script
--       2 the holders, an index: a sorted set, token -> when its hold ends, or earlier,
--         because renewal leaves it alone
--       3 the queue: a sorted set, token -> place
--       4 the waiters: a hash, token -> entry
-- ARGV  1 token, or '' for none   2 kind: r or s
--
-- A hold is  "expires weight ttl last_seq want_seq granted base shared channel".
-- An entry is "seen_at seq handover_ttl ttl want want_seq shared channel key".
-- Times are the server's, in ms. seq and last_seq are the number of the token's last
-- request, want_seq is that of its first request that wanted what it waits for or was
-- granted last, and granted is how much that was. Every request states what its token keeps.
-- So a copy that comes late is recognized by its number, and nothing is counted twice.

local main, holders, queue, waiters = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local self, kind = ARGV[1], ARGV[2]

local fields = redis.pcall('HMGET', main, 'state', self)
if fields.err then return fields end
local index_len = redis.pcall('ZCARD', holders)
if type(index_len) == 'table' then return wrap_type_error('holders', index_len) end
local queue_len, entries_len = 0, 0
if redis.call('EXISTS', queue, waiters) > 0 then -- in most cases nobody waits
  queue_len = redis.pcall('ZCARD', queue)
  if type(queue_len) == 'table' then return wrap_type_error('queue', queue_len) end
  entries_len = redis.pcall('HLEN', waiters)
  if type(entries_len) == 'table' then return wrap_type_error('waiters', entries_len) end
  if slot_migrating(queue) then return SLOT_MIGRATING end
end

local size, declared_size, used, last_base, key_ttl, written_at = nil, nil, 0, 0, tonumber(RETENTION), 0
local unnotified = 0          -- holders, the first of the index, not notified yet that others wait
local cursor, indexed = '0', 0 -- of a rebuild: where the next step begins, and the permits in the index
if fields[1] or redis.call('EXISTS', main) == 1 then
  local k, s, d, u, l, t, w, rest = string.match(fields[1] or '', '^(%a) (%d+) (%d+) (%d+) %d+ (%d+) (%d+) (%d+)(.*)$')
  if not k then return {err = 'WRONGTYPE the key is a hash, but not of this library'} end
  if k ~= kind then return {err = 'WRONGTYPE the key is in use as ' .. (k == 'r' and 'an RWMutex' or 'a semaphore')} end
  size, declared_size, used, last_base, key_ttl, written_at = tonumber(s), tonumber(d), tonumber(u), tonumber(l), tonumber(t), tonumber(w)
  if rest ~= '' then
    local n, c, i = string.match(rest, '^ (%d+) (%d+) (%d+)$')
    unnotified, cursor, indexed = tonumber(n) or 0, c or '0', tonumber(i) or 0
  end
  -- Numbers that are not exact are not ours. Nor is a size above that of an RWMutex, which
  -- has no other: two writers would fit.
  if math.max(used, last_base, key_ttl, written_at) >= MAX_EXACT or math.max(size, declared_size) > 2^52 or kind == 'r' and size ~= 2^40 then
    return {err = 'WRONGTYPE the key is a hash, but not of this library'}
  end
end

-- The queue and its entries are useless without each other. Waiters enter again.
if (queue_len == 0) ~= (entries_len == 0) then
  redis.call('UNLINK', queue, waiters)
  queue_len, entries_len = 0, 0
end

local function integer(n) return string.format('%.0f', n) end

-- Returns the fields of a hold, nil if it is malformed.
local function parse_hold(text)
  if not text then return nil end
  local expires, weight, ttl, last_seq, want_seq, granted, base, shared, channel =
    string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d) (.*)$')
  if not expires then return nil end
  return {expires = tonumber(expires), weight = tonumber(weight), ttl = tonumber(ttl), last_seq = tonumber(last_seq),
    want_seq = tonumber(want_seq), granted = tonumber(granted), base = tonumber(base), shared = shared, channel = channel}
end

local function format_hold(h)
  return string.format('%.0f %.0f %.0f %.0f %.0f %.0f %.0f ', h.expires, h.weight, h.ttl, h.last_seq, h.want_seq, h.granted, h.base) ..
    h.shared .. ' ' .. h.channel
end

-- The hold of self is written at the end, together with the state.
local self_hold, self_changed = parse_hold(fields[2]), false

local function load_hold(token)
  if token == self then return self_hold end
  return parse_hold(redis.call('HGET', main, token))
end

local function store_hold(token, h)
  if token == self then
    self_hold, self_changed = h, true
  else
    redis.call('HSET', main, token, format_hold(h))
  end
end

local function remove_hold(token, h)
  if token == self then self_hold, self_changed = nil, false end
  local removed = redis.call('ZREM', holders, token)
  used, indexed, index_len = used - h.weight, indexed - removed * h.weight, index_len - removed
  redis.call('HDEL', main, token)
end

-- Adds a hold to the index, unless a rebuild has done so already.
local function add_to_index(token, h)
  local added = redis.call('ZADD', holders, 'NX', integer(h.expires), token)
  indexed, index_len = indexed + added * h.weight, index_len + added
end

-- Returns the fields of an entry, nil if it is malformed. An entry from the future was
-- written before the clock was set back: it is live.
local function parse_entry(text)
  local seen_at, seq, handover_ttl, ttl, want, want_seq, shared, channel, key =
    string.match(text or '', '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d) (%S+) (.*)$')
  if not seen_at then return nil end
  return {live = tonumber(seen_at) > ms - WAITER_TTL, seq = tonumber(seq), handover_ttl = tonumber(handover_ttl), ttl = tonumber(ttl),
    want = tonumber(want), want_seq = tonumber(want_seq), shared = shared, channel = channel, key = key}
end

local function live_entry(text)
  local e = parse_entry(text)
  if e and e.live then return e end
end

--include lib/drop_stale.lua
-- Removes token from the queue.
local function leave_queue(token)
  if redis.call('ZREM', queue, token) == 1 then queue_len = queue_len - 1 end
  redis.call('HDEL', waiters, token)
end

-- Rebuilds the index, and the number of used permits, from the hash: after the index was
-- lost, or after the clock was set back, since no hold lasts longer than its TTL from now.
-- Each script does a batch. A hold that is not in the index yet does not end.
local function rebuild_index(from_start)
  if from_start then
    redis.call('UNLINK', holders) -- fast, however large it is
    cursor, index_len, indexed = '0', 0, 0
  end
  local reply = redis.call('HSCAN', main, cursor, 'COUNT', BATCH)
  cursor = reply[1]
  for i = 1, #reply[2], 2 do
    local token = reply[2][i]
    if token ~= 'state' then
      local h = token == self and self_hold or parse_hold(reply[2][i + 1])
      if not h then
        redis.call('HDEL', main, token)
      else
        if h.expires > ms + h.ttl then
          h.expires = ms + h.ttl
          store_hold(token, h)
        end
        add_to_index(token, h)
      end
    end
  end
  if cursor == '0' then
    used = indexed
  elseif self_hold then
    add_to_index(self, self_hold) -- the caller may change it
  end
end

-- Ends a batch of holds that have expired. The index may show a renewed hold as expired.
-- Returns when the next hold may end, which is now if work is left, or nil if there is none.
local function expire_holds()
  if index_len == 0 and used == 0 then return nil end
  if ms + 1000 < written_at or cursor == '0' and index_len ~= math.max(redis.call('HLEN', main) - 1, 0) then
    rebuild_index(true)
  elseif cursor ~= '0' then
    rebuild_index(false)
  end
  for _ = 1, BATCH do
    local first = redis.call('ZRANGE', holders, 0, 0, 'WITHSCORES')
    if not first[1] or tonumber(first[2]) > ms then
      if cursor ~= '0' then return ms end
      return first[1] and tonumber(first[2])
    end
    local h = load_hold(first[1])
    if h and h.expires > ms then
      redis.call('ZADD', holders, integer(h.expires), first[1])
    elseif h then
      remove_hold(first[1], h)
    else
      rebuild_index(true)
    end
  end
  return ms
end

-- Grants token what its entry e wants, and extra permits, on top of what it holds, for at
-- least ttl ms.
local function grant(token, e, ttl, extra)
  local h = load_hold(token)
  last_base = next_fence(last_base)
  if not h then
    h = {expires = 0, weight = 0}
    index_len = index_len + redis.call('ZADD', holders, integer(ms + ttl), token)
  elseif cursor ~= '0' then
    add_to_index(token, h)
  end
  h.granted = e.want + extra
  used, indexed = used + h.granted, indexed + h.granted
  h.weight, h.expires, h.ttl = h.weight + h.granted, math.max(h.expires, ms + ttl), e.ttl
  h.last_seq, h.want_seq, h.base, h.shared, h.channel = e.seq, e.want_seq, last_base, e.shared, e.channel
  key_ttl = math.max(key_ttl, e.ttl)
  store_hold(token, h)
  return h
end

-- Grants the waiters what they want, in the order of the queue, while there is room. A waiter
-- that does not fit blocks those behind it, however little they want. A waiter that wants
-- more than the size will never fit: it is notified to ask again, and gets the error.
-- Returns true if work is left: whoever runs the script runs it again.
local notifications = {}
local function grant_waiters()
  local stale, done = 0, 0
  while queue_len > 0 do
    local token = redis.call('ZRANGE', queue, 0, 0)[1]
    local e = live_entry(redis.call('HGET', waiters, token))
    if not e then
      if stale >= BATCH then return true end
      stale = stale + drop_stale(redis.call('ZRANGE', queue, 0, BATCH - 1))
    elseif e.want <= size and used + e.want > size then
      return false
    elseif done == BATCH then
      return true
    else
      done = done + 1
      leave_queue(token)
      local n = {token = token, channel = e.channel, seq = 0, want_seq = 0, base = 0, weight = 0}
      if e.want <= size then
        local h = grant(token, e, token == self and e.ttl or e.handover_ttl, 0) -- self counts on a whole TTL
        n.seq, n.want_seq, n.base, n.weight, n.key = e.seq, e.want_seq, h.base, h.weight, e.key
      end
      if token ~= self or n.seq == 0 then notifications[#notifications + 1] = n end
    end
  end
  return false
end

-- Writes the state and publishes the notifications. They go last and may fail: then the next
-- poll of a waiter finds the grant. They are concatenated, as %s ends at a NUL.
local function save()
  local state = kind .. string.format(' %.0f %.0f %.0f %.0f %.0f %.0f %.0f', size, declared_size, used, queue_len, last_base, key_ttl, ms)
  if queue_len == 0 then unnotified = 0 end
  if unnotified > 0 or cursor ~= '0' then state = state .. string.format(' %.0f %s %.0f', unnotified, cursor, indexed) end
  if self_changed then
    redis.call('HSET', main, 'state', state, self, format_hold(self_hold))
  else
    redis.call('HSET', main, 'state', state)
  end
  redis.call('PEXPIRE', main, integer(key_ttl))
  if index_len > 0 then redis.call('PEXPIRE', holders, integer(key_ttl)) end
  for _, n in ipairs(notifications) do
    publish(n.channel, kind .. string.format(' %.0f %.0f %.0f %.0f ', n.seq, n.want_seq, n.base, n.weight) ..
      (queue_len > 0 and '1 ' or '0 ') .. n.token .. ' ' .. (n.key or '-'))
  end
end

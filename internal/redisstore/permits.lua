-- What the scripts of the reader/writer lock and of the semaphore include. Both
-- are one thing: permits, of which a claim holds some, a reader one of very many
-- and a writer all. Nothing is written before the types of all keys are known
-- to be right.
--
-- KEYS  1 the user's key: hash, 'state' -> "kind size declared used waiting last life at",
--         and while work is left over for the next script " untold scan counted" behind it;
--         and token -> "expires weight ttl seen order given base shared channel"
--       2 the holders: zset token -> when it ends, or earlier: renew leaves it alone
--       3 the line: zset token -> place
--       4 the entries: hash token -> "at n grant ttl want order shared channel key"
-- ARGV  1 token, or '' for none   2 kind: r or s
--
-- Times are the server's, in ms. seen and n are the number of the last request of
-- the token, order that of the first which wanted what it was given, or wants,
-- and given how much that was.
-- Every token states what it keeps, with a number: so a copy that comes late is
-- known for one, and nothing is counted twice.

local ENTRY_LIFE = 3600  -- ms without a request after which an entry is stale
local BATCH = 64         -- what one script does of each kind of work that others left behind
local KEY_LIFE = 3900000 -- ms; outlives a server clock that is set back by an hour

local main, holders, line, entries = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local self, kind = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local ms = math.floor(us / 1000)

-- Only the key's own WRONGTYPE means that a holder has lost what it held.
local function broken(sibling, reply)
  if string.find(reply.err, '^WRONGTYPE') then return {err = 'ERR its ' .. sibling .. ': ' .. reply.err} end
  return reply
end

--include moving.lua

local found = redis.pcall('HMGET', main, 'state', self)
if found.err then return found end
local held = redis.pcall('ZCARD', holders)
if type(held) == 'table' then return broken('holders', held) end
local waiting, entered = 0, 0
if redis.call('EXISTS', line, entries) > 0 then -- mostly nobody waits
  waiting = redis.pcall('ZCARD', line)
  if type(waiting) == 'table' then return broken('line', waiting) end
  entered = redis.pcall('HLEN', entries)
  if type(entered) == 'table' then return broken('entries', entered) end
  if moving(line) then return MOVING end
end

local size, declared, used, last, life, at = nil, nil, 0, 0, KEY_LIFE, 0
local untold = 0             -- holders, the first in the zset, that have not been told that others wait
local scan, counted = '0', 0 -- a rebuild goes on at this cursor, and the zset has so many permits by now
if found[1] or redis.call('EXISTS', main) == 1 then
  local k, s, d, u, l, f, a, rest = string.match(found[1] or '', '^(%a) (%d+) (%d+) (%d+) %d+ (%d+) (%d+) (%d+)(.*)$')
  if not k then return {err = 'WRONGTYPE the key is a hash, but not of this library'} end
  if k ~= kind then return {err = 'WRONGTYPE the key is in use as ' .. (k == 'r' and 'an RWMutex' or 'a semaphore')} end
  size, declared, used, last, life, at = tonumber(s), tonumber(d), tonumber(u), tonumber(l), tonumber(f), tonumber(a)
  if rest ~= '' then
    local t, cursor, n = string.match(rest, '^ (%d+) (%d+) (%d+)$')
    untold, scan, counted = tonumber(t) or 0, cursor or '0', tonumber(n) or 0
  end
  -- Numbers that are not exact are none of ours, nor is a size above that of an
  -- RWMutex, which has no other: two writers would fit.
  if math.max(used, last, life, at) >= 2^53 - 1 or math.max(size, declared) > 2^52 or kind == 'r' and size ~= 2^40 then
    return {err = 'WRONGTYPE the key is a hash, but not of this library'}
  end
end

-- One is no use without the other: who waits will enter again.
if (waiting == 0) ~= (entered == 0) then
  redis.call('UNLINK', line, entries)
  waiting, entered = 0, 0
end

local function number(n) return string.format('%.0f', n) end

-- What text says of a hold; what is no such text is none.
local function hold(text)
  if not text then return nil end
  local expires, weight, ttl, seen, order, given, base, shared, channel =
    string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d) (.*)$')
  if not expires then return nil end
  return {expires = tonumber(expires), weight = tonumber(weight), ttl = tonumber(ttl), seen = tonumber(seen),
    order = tonumber(order), given = tonumber(given), base = tonumber(base), shared = shared, channel = channel}
end

-- That of the one who asks is written at the end, with the state.
local own, changed = hold(found[2]), false

local function holder(token)
  if token == self then return own end
  return hold(redis.call('HGET', main, token))
end

local function text(h)
  return string.format('%.0f %.0f %.0f %.0f %.0f %.0f %.0f ', h.expires, h.weight, h.ttl, h.seen, h.order, h.given, h.base) ..
    h.shared .. ' ' .. h.channel
end

local function put(token, h)
  if token == self then
    own, changed = h, true
  else
    redis.call('HSET', main, token, text(h))
  end
end

local function remove(token, h)
  if token == self then own, changed = nil, false end
  local listed = redis.call('ZREM', holders, token)
  used, counted, held = used - h.weight, counted - listed * h.weight, held - listed
  redis.call('HDEL', main, token)
end

-- Adds a hold to the zset, if a rebuild has not done so yet.
local function index(token, h)
  local added = redis.call('ZADD', holders, 'NX', number(h.expires), token)
  counted, held = counted + added * h.weight, held + added
end

-- Returns the fields of an entry, nil if it is garbled. An entry from the future is older
-- than a step back of the clock: it is alive.
local function fields(text)
  local seen, n, grant, ttl, want, order, shared, channel, key =
    string.match(text or '', '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d) (%S+) (.*)$')
  if not seen then return nil end
  return {at = tonumber(seen), n = tonumber(n), grant = tonumber(grant), ttl = tonumber(ttl),
    want = tonumber(want), order = tonumber(order), shared = shared, channel = channel, key = key,
    alive = ms - tonumber(seen) < ENTRY_LIFE}
end

local function entry(token) return fields(redis.call('HGET', entries, token)) end

-- Drops the stale entries that come first in tokens. Returns their number.
local function drop_stale(tokens)
  local stale, texts = 0, redis.call('HMGET', entries, unpack(tokens))
  for i, text in ipairs(texts) do
    local e = fields(text)
    if e and e.alive then break end
    stale = i
  end
  if stale > 0 then
    redis.call('ZREM', line, unpack(tokens, 1, stale))
    redis.call('HDEL', entries, unpack(tokens, 1, stale))
    waiting = waiting - stale
  end
  return stale
end

-- Takes token off the line.
local function leave(token)
  if redis.call('ZREM', line, token) == 1 then waiting = waiting - 1 end
  redis.call('HDEL', entries, token)
end

-- Makes the zset and the number of used permits anew from the hash, a batch of holds in each
-- script: after the zset was lost, or after the clock was set back, since no hold lasts for
-- longer than its TTL from now. Until then a hold that is not in the zset yet does not end.
local function rebuild(anew)
  if anew then
    redis.call('UNLINK', holders) -- which does not take long, however large it is
    scan, held, counted = '0', 0, 0
  end
  local reply = redis.call('HSCAN', main, scan, 'COUNT', BATCH)
  scan = reply[1]
  for i = 1, #reply[2], 2 do
    local token = reply[2][i]
    if token ~= 'state' then
      local h = token == self and own or hold(reply[2][i + 1])
      if not h then
        redis.call('HDEL', main, token)
      else
        if h.expires > ms + h.ttl then
          h.expires = ms + h.ttl
          put(token, h)
        end
        index(token, h)
      end
    end
  end
  if scan == '0' then
    used = counted
  elseif own then
    index(self, own) -- the caller may change it
  end
end

-- Ends a batch of what has run out. The zset may say so too early of what was renewed.
-- Returns when the next hold may end, now if a part of the work is left, nil if there is none.
local function purge()
  if held == 0 and used == 0 then return nil end
  if ms + 1000 < at or scan == '0' and held ~= math.max(redis.call('HLEN', main) - 1, 0) then
    rebuild(true)
  elseif scan ~= '0' then
    rebuild(false)
  end
  for _ = 1, BATCH do
    local first = redis.call('ZRANGE', holders, 0, 0, 'WITHSCORES')
    if not first[1] or tonumber(first[2]) > ms then
      if scan ~= '0' then return ms end
      return first[1] and tonumber(first[2])
    end
    local h = holder(first[1])
    if h and h.expires > ms then
      redis.call('ZADD', holders, number(h.expires), first[1])
    elseif h then
      remove(first[1], h)
    else
      rebuild(true)
    end
  end
  return ms
end

-- Gives token what e wants and some more, besides what it has, for ttl ms at least.
local function give(token, e, ttl, more)
  local h = holder(token)
  last = math.max(last + 1, us)
  if not h then
    h = {expires = 0, weight = 0}
    held = held + redis.call('ZADD', holders, number(ms + ttl), token)
  elseif scan ~= '0' then
    index(token, h)
  end
  h.given = e.want + more
  used, counted = used + h.given, counted + h.given
  h.weight, h.expires, h.ttl = h.weight + h.given, math.max(h.expires, ms + ttl), e.ttl
  h.seen, h.order, h.base, h.shared, h.channel = e.n, e.order, last, e.shared, e.channel
  life = math.max(life, e.ttl)
  put(token, h)
  return h
end

-- Lets in who is first in line for as long as there is room, and passes over stale
-- entries: nobody overtakes, however small. One that wants more than there is will
-- never fit: it is told to ask again, and learns that.
-- Returns true if a part of the work is left: whoever ran the script goes on.
local told = {}
local function serve()
  local stale, done = 0, 0
  while waiting > 0 do
    local token = redis.call('ZRANGE', line, 0, 0)[1]
    local e = entry(token)
    if not (e and e.alive) then
      if stale >= BATCH then return true end
      stale = stale + drop_stale(redis.call('ZRANGE', line, 0, BATCH - 1))
    elseif e.want <= size and used + e.want > size then
      return false
    elseif done == BATCH then
      return true
    else
      done = done + 1
      leave(token)
      local m = {token = token, channel = e.channel, n = 0, order = 0, base = 0, weight = 0}
      if e.want <= size then
        local h = give(token, e, token == self and e.ttl or e.grant, 0) -- who asks counts on a whole TTL
        m.n, m.order, m.base, m.weight, m.key = e.n, e.order, h.base, h.weight, e.key
      end
      if token ~= self or m.n == 0 then told[#told + 1] = m end
    end
  end
  return false
end

-- Writes the state down, and publishes. Messages go last, and may fail: who is
-- not told finds out by its next poll. They are put together without %s, which
-- would end a key at its first NUL.
local function save()
  local state = kind .. string.format(' %.0f %.0f %.0f %.0f %.0f %.0f %.0f', size, declared, used, waiting, last, life, ms)
  if waiting == 0 then untold = 0 end
  if untold > 0 or scan ~= '0' then state = state .. string.format(' %.0f %s %.0f', untold, scan, counted) end
  if changed then
    redis.call('HSET', main, 'state', state, self, text(own))
  else
    redis.call('HSET', main, 'state', state)
  end
  redis.call('PEXPIRE', main, number(life))
  if held > 0 then redis.call('PEXPIRE', holders, number(life)) end
  for _, m in ipairs(told) do
    redis.pcall('PUBLISH', m.channel, kind .. string.format(' %.0f %.0f %.0f %.0f ', m.n, m.order, m.base, m.weight) ..
      (waiting > 0 and '1 ' or '0 ') .. m.token .. ' ' .. (m.key or '-'))
  end
end

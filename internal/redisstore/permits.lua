-- What the scripts of the reader/writer lock and of the semaphore include. Both
-- are one thing: permits, of which a claim holds some, a reader one of very many
-- and a writer all. Nothing is written before the types of all keys are known
-- to be right.
--
-- KEYS  1 the user's key: hash, 'state' -> "kind size declared used waiting last life at",
--         and token -> "expires weight ttl seen order given base shared channel"
--       2 the holders: zset token -> when it ends, or earlier: renew leaves it alone
--       3 the line: zset token -> place
--       4 the entries: hash token -> "at n grant ttl want order shared channel"
-- ARGV  1 token, or '' for none   2 kind: r or s
--
-- Times are the server's, in ms. seen and n are the number of the last request of
-- the token, order that of the first which wanted what it was given, or wants,
-- and given how much that was.
-- Every token states what it keeps, with a number: so a copy that comes late is
-- known for one, and nothing is counted twice.

local ENTRY_LIFE = 3600  -- ms without a request after which a waiter is passed over
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
if found[1] or redis.call('EXISTS', main) == 1 then
  local k, s, d, u, l, f, a = string.match(found[1] or '', '^(%a) (%d+) (%d+) (%d+) %d+ (%d+) (%d+) (%d+)$')
  if not k then return {err = 'WRONGTYPE the key is a hash, but not of this library'} end
  if k ~= kind then return {err = 'WRONGTYPE the key is in use as ' .. (k == 'r' and 'an RWMutex' or 'a semaphore')} end
  size, declared, used, last, life, at = tonumber(s), tonumber(d), tonumber(u), tonumber(l), tonumber(f), tonumber(a)
  -- Numbers that are not exact are none of ours, nor is a size above that of an
  -- RWMutex, which has no other: two writers would fit.
  if math.max(used, last, life, at) >= 2^53 - 1 or math.max(size, declared) > 2^40 or kind == 'r' and size < 2^40 then
    return {err = 'WRONGTYPE the key is a hash, but not of this library'}
  end
end

-- One is no use without the other: who waits will enter again.
if (waiting == 0) ~= (entered == 0) then
  redis.call('DEL', line, entries)
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
  used = used - h.weight
  redis.call('HDEL', main, token)
  held = held - redis.call('ZREM', holders, token)
end

local function entry(token)
  local text = redis.call('HGET', entries, token)
  if not text then return nil end
  local seen, n, grant, ttl, want, order, shared, channel =
    string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d) (.*)$')
  if not seen then return nil end
  return {at = tonumber(seen), n = tonumber(n), grant = tonumber(grant), ttl = tonumber(ttl),
    want = tonumber(want), order = tonumber(order), shared = shared, channel = channel}
end

-- Takes token off the line.
local function leave(token)
  if redis.call('ZREM', line, token) == 1 then waiting = waiting - 1 end
  redis.call('HDEL', entries, token)
end

-- If the zset is lost, or the clock was set back, the hash tells what is held,
-- and no hold lasts longer than its TTL from now.
local function rebuild()
  local all = redis.call('HGETALL', main)
  redis.call('DEL', holders)
  held, used = 0, 0
  for i = 1, #all, 2 do
    local token = all[i]
    if token ~= 'state' then
      local h = hold(all[i + 1])
      if not h or h.expires <= ms then
        if token == self then own = nil end
        redis.call('HDEL', main, token)
      else
        if h.expires > ms + h.ttl then
          h.expires = ms + h.ttl
          put(token, h)
        end
        redis.call('ZADD', holders, number(h.expires), token)
        held, used = held + 1, used + h.weight
      end
    end
  end
end

-- Ends what has run out. The zset may say so too early of what was renewed.
-- Returns when the next hold may end, nil if there is none.
local function purge()
  if held == 0 and used == 0 then return nil end
  if held ~= math.max(redis.call('HLEN', main) - 1, 0) or ms + 1000 < at then rebuild() end
  while true do
    local first = redis.call('ZRANGE', holders, 0, 0, 'WITHSCORES')
    if not first[1] then return nil end
    if tonumber(first[2]) > ms then return tonumber(first[2]) end
    local h = holder(first[1])
    if h and h.expires > ms then
      redis.call('ZADD', holders, number(h.expires), first[1])
    elseif h then
      remove(first[1], h)
    else
      rebuild()
    end
  end
end

-- Gives token what e wants and some more, besides what it has, for ttl ms at least.
local function give(token, e, ttl, more)
  local h = holder(token)
  last = math.max(last + 1, us)
  if not h then
    h = {expires = 0, weight = 0}
    held = held + redis.call('ZADD', holders, number(ms + ttl), token)
  end
  h.given = e.want + more
  used = used + h.given
  h.weight, h.expires, h.ttl = h.weight + h.given, math.max(h.expires, ms + ttl), e.ttl
  h.seen, h.order, h.base, h.shared, h.channel = e.n, e.order, last, e.shared, e.channel
  life = math.max(life, e.ttl)
  put(token, h)
  return h
end

-- Lets in who is first in line for as long as there is room, and passes over the
-- dead: nobody overtakes, however small. One seen in the future was seen before
-- the clock was set back: it is alive. One that wants more than there is will
-- never fit: it is told to ask again, and learns that.
local told = {}
local function serve()
  while waiting > 0 do
    local token = redis.call('ZRANGE', line, 0, 0)[1]
    local e = entry(token)
    if not e or ms - e.at >= ENTRY_LIFE then
      leave(token)
    elseif e.want > size then
      leave(token)
      told[#told + 1] = {token = token, channel = e.channel, n = 0, order = 0, base = 0, weight = 0}
    elseif used + e.want > size then
      return
    else
      leave(token)
      local h = give(token, e, token == self and e.ttl or e.grant, 0) -- who asks counts on a whole TTL
      if token ~= self then
        told[#told + 1] = {token = token, channel = e.channel, n = e.n, order = e.order, base = h.base, weight = h.weight}
      end
    end
  end
end

-- Tells all who share a hold, but the one who asks, that somebody waits.
local function word()
  local all = redis.call('HGETALL', main)
  for i = 1, #all, 2 do
    local token = all[i]
    if token ~= 'state' and token ~= self then
      local h = hold(all[i + 1])
      if h and h.shared == '1' then told[#told + 1] = {token = token, channel = h.channel, n = 0, order = 0, base = 0, weight = 0} end
    end
  end
end

-- Writes the state down, and publishes. Messages go last, and may fail: who is
-- not told finds out by its next poll. They are put together without %s, which
-- would end a key at its first NUL.
local function save()
  local state = kind .. string.format(' %.0f %.0f %.0f %.0f %.0f %.0f %.0f', size, declared, used, waiting, last, life, ms)
  if changed then
    redis.call('HSET', main, 'state', state, self, text(own))
  else
    redis.call('HSET', main, 'state', state)
  end
  redis.call('PEXPIRE', main, number(life))
  if held > 0 then redis.call('PEXPIRE', holders, number(life)) end
  for _, m in ipairs(told) do
    redis.pcall('PUBLISH', m.channel, kind .. string.format(' %.0f %.0f %.0f %.0f ', m.n, m.order, m.base, m.weight) ..
      (waiting > 0 and '1 ' or '0 ') .. m.token .. ' ' .. main)
  end
end

-- States what token keeps and what it wants besides. It gets that if there is
-- room and nobody is ahead, and otherwise waits in line for it.
-- KEYS  as in permits.lua
-- ARGV  1 token   2 kind   3 number of this request   4 ttl in ms   5 permits that it keeps
--       6 permits that it wants besides, or 0   7 number of the first request that wanted them
--       8 size, as its process knows it   9 1 to wait in line   10 ttl in ms that a hand-over gives
--       11 channel on which to publish it   12, 13 1 if what it wants, or keeps, is shared: then it is told when others wait
--       14 permits that it can use besides, if they are free and nobody waits
--       15 the key as its users name it
-- Reply {1, fence base, 1 if others wait, permits that it has, those that it was given}: it has what it wants.
--       {0, 0, 1 if others wait, ms until a hold may end or -1, 0}: it does not, or wants nothing.
--       With 0 ms a part of the work is left: the next request does more of it, at once.
--       {-1, 0, 0, 0, 0}: what it wants to keep is lost.
--       {-2, size, 0, 0, 0}: it wants more than there is, or takes the size for another.

--include permits.lua

local n, ttl, keep, want, order = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local stated = tonumber(ARGV[8])
local e = {at = ms, n = n, grant = tonumber(ARGV[10]), ttl = ttl, want = want, order = order, shared = ARGV[12], channel = ARGV[11], key = ARGV[15]}
local queued = entered > 0 and entry(self) or nil
local mine = own and own.expires > ms and own or nil

if mine and n <= mine.seen or queued and n <= queued.n then
  -- A copy, or overtaken. It changes nothing, and so has no TTL to give: what was
  -- granted is for the request to find that comes next.
  return {0, 0, waiting > 0 and 1 or 0, -1, 0}
end
if keep > 0 and (not mine or mine.weight < keep) then return {-1, 0, 0, 0, 0} end

-- What it has been given it has, however small the semaphore has become since.
-- To want what there is not is to want nothing.
local granted = want > 0 and mine ~= nil and mine.order == order -- by a hand-over that it has not heard of
local refused = want > 0 and not granted and (size and stated ~= size and stated ~= declared or want > (size or stated))
if refused then want = 0 end
if want == 0 and not mine and not (queued and size) then -- where nothing was, nothing is left
  if queued then leave(self) end
  if refused then return {-2, size or stated, 0, 0, 0} end
  return {0, 0, waiting > 0 and 1 or 0, -1, 0}
end
if not size then size, declared = stated, stated end

-- What is allowed when out of memory allows the rest of its script, too.
if mine then
  redis.call('PEXPIRE', main, number(life))
elseif queued then
  redis.call('PEXPIRE', entries, ENTRY_LIFE)
end
local ends = purge()
if mine then
  mine = own
  local rest = math.min(mine.weight, keep + (granted and mine.given or 0))
  used, counted = used - (mine.weight - rest), counted - (mine.weight - rest)
  mine.weight, mine.seen, mine.ttl, mine.shared = rest, n, ttl, granted and e.shared or ARGV[13]
  mine.expires = math.max(mine.expires, ms + ttl)
  life = math.max(life, ttl)
  if rest > 0 then
    put(self, mine)
  else
    remove(self, mine)
  end
end

local function enter()
  redis.call('HSET', entries, self, string.format('%.0f %.0f %.0f %.0f %.0f %.0f ', ms, n, e.grant, ttl, want, order) ..
    e.shared .. ' ' .. e.channel .. ' ' .. e.key)
end

if queued and (want == 0 or granted or queued.order ~= order) then
  leave(self)
  queued = nil
elseif queued then
  enter()
end
local left = serve()

if want > 0 and not granted then
  if queued then
    granted = own ~= nil and own.order == order
  elseif waiting == 0 and used + want <= size then
    give(self, e, ttl, math.min(tonumber(ARGV[14]), size - used - want))
    granted = true
  elseif ARGV[9] == '1' then
    local tail = redis.call('ZRANGE', line, -1, -1, 'WITHSCORES')[2]
    redis.call('ZADD', line, number((tail or 0) + 1), self)
    enter()
    waiting = waiting + 1
    if kind == 'r' and waiting == 1 then untold = held end
    queued = e
  end
end
if queued and not granted then
  -- Stale entries directly ahead of it are dropped: so each is dropped by the next live
  -- waiter behind it, long before a release could meet very many.
  local rank = redis.call('ZREVRANK', line, self) + 1
  local ahead = redis.call('ZREVRANGE', line, rank, rank)[1]
  local other = ahead and entry(ahead)
  if ahead and not (other and other.alive) then
    drop_stale(redis.call('ZREVRANGE', line, rank, rank + BATCH - 1))
  end

  -- Those who share a hold, but the one who asks, are told that somebody waits.
  if untold > 0 then
    local first = math.max(untold - BATCH, 0)
    local tokens = redis.call('ZRANGE', holders, first, untold - 1)
    untold, left = first, left or first > 0
    for i, text in ipairs(tokens[1] and redis.call('HMGET', main, unpack(tokens)) or tokens) do
      local h = tokens[i] ~= self and hold(text)
      if h and h.shared == '1' then
        told[#told + 1] = {token = tokens[i], channel = h.channel, n = 0, order = 0, base = 0, weight = 0}
      end
    end
  end
  redis.call('PEXPIRE', line, ENTRY_LIFE)
  redis.call('PEXPIRE', entries, ENTRY_LIFE)
end
save()
if refused then return {-2, size, 0, 0, 0} end
if granted then return {1, own.base, waiting > 0 and 1 or 0, own.weight, own.given} end
return {0, 0, waiting > 0 and 1 or 0, left and 0 or ends and ends - ms or -1, 0}

-- Gives the lock to the next in line and queues for it again under a new token;
-- if nobody waits, keeps it under the new token with a fresh block of fences.
--
-- The new token is what makes a late copy of this harmless: it finds that the
-- old one no longer owns the lock, and changes nothing.
--
-- KEYS  as in state.lua
-- ARGV  1-6 as in acquire.lua, for the new token   7 the token that yields
-- Reply as of acquire.lua, or {-1, 0, 0, 0}: neither token is known any more.

--include state.lua

local failed = open(1)
if failed then return failed end

local token, ttl, n, old = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[7]

if owner == old then
  redis.call('PEXPIRE', lock, ttl) -- allowed when out of memory, and then so is the rest
  local head = pop()
  if not head then -- nobody waits, or stale entries are left: the next yield drops more
    return {1, grant(token, ttl), tonumber(ttl), 1}
  end
  if n > 0 then enqueue(token, ARGV[3], ARGV[4], ARGV[5], ARGV[6]) end
  hand(head)
  return {0, 0, tonumber(head.ttl), 1}
end

if owner == token then
  redis.call('PEXPIRE', lock, ttl)
  return {1, last or grant(token, ttl), tonumber(ttl), 1}
end

if owner and n > 0 and waiting > 0 and redis.call('ZSCORE', queue, token) then
  enqueue(token, ARGV[3], ARGV[4], ARGV[5], ARGV[6])
  return {0, 0, redis.call('PTTL', lock), string.find(owner, '^baton:') and 1 or 0}
end
return {-1, 0, 0, 0}

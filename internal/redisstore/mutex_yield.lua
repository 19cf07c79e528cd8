-- Hands the lock to the next waiter and queues for it again under a new token. If nobody waits,
-- keeps the lock under the new token, with new fences.
--
-- The new token makes a late copy of this request harmless: the old token no longer owns the
-- lock, so the copy changes nothing.
--
-- KEYS  as in lib/mutex.lua
-- ARGV  1-6 as in mutex_acquire.lua, for the new token   7 the token that yields
-- Reply as of mutex_acquire.lua, or {-2, 0}: neither token is known any more.

--include lib/mutex.lua
local token, ttl, queues, old = ARGV[1], ARGV[2], tonumber(ARGV[3]) > 0, ARGV[7]

if owner == old then
  redis.call('PEXPIRE', lock, ttl) -- allowed when out of memory, and then so are the other writes
  local waiter = next_waiter()
  if not waiter then -- nobody waits, or stale entries are left: the next yield drops more
    return granted(grant(token, ttl))
  end
  if queues then enqueue(token, ARGV[3], ARGV[4], ARGV[5], ARGV[6]) end
  hand_over(waiter)
  return {tonumber(waiter.ttl), 1}
end

if owner == token then
  redis.call('PEXPIRE', lock, ttl)
  return granted(last_fence or grant(token, ttl))
end

if owner and queues and queue_len > 0 and redis.call('ZSCORE', queue, token) then
  enqueue(token, ARGV[3], ARGV[4], ARGV[5], ARGV[6])
  return {redis.call('PTTL', lock), string.find(owner, '^baton:') and 1 or 0}
end
return {-2, 0}

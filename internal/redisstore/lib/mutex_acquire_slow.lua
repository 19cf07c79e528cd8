--include lib/mutex.lua
-- The slow path of mutex_acquire.lua, which handles every case.

local token, ttl, queues = ARGV[1], ARGV[2], tonumber(ARGV[3]) > 0

if owner == token then
  redis.call('PEXPIRE', lock, ttl)
  return granted(last_fence or grant(token, ttl))
end

if not owner then
  local waiter = next_waiter(token)
  if waiter and waiter.token == token or not waiter and not unfinished then
    return granted(grant(token, ttl))
  end
  if queues then enqueue(token, ARGV[3], ARGV[4], ARGV[5], ARGV[6]) end
  if not waiter then return {0, 1} end -- the next request, sent at once, drops more
  hand_over(waiter)
  return {tonumber(waiter.ttl), 1}
end

if queues then -- of new waiters only every sixteenth looks ahead: that suffices and is cheaper
  local place = enqueue(token, ARGV[3], ARGV[4], ARGV[5], ARGV[6])
  if not place or place % 16 == 0 then drop_stale_ahead(token) end
end

-- Our tokens state their TTL. More is left only if the server's clock was set back, and then
-- a dead owner would keep the lock for as long.
local left = redis.call('PTTL', lock)
local most = string.match(owner, '^baton:(%d+):')
if most and left > tonumber(most) then
  redis.call('PEXPIRE', lock, most)
  left = tonumber(most)
end
local channel, lingers = notice_channel(owner)
if channel and queues and redis.call('ZRANGE', queue, 0, 0)[1] == token then -- at each poll, as a message may be lost
  publish(channel, 'm 0 0 0 0 1 ' .. owner .. ' -')
end
return {left, most and (lingers and 2 or 1) or 0}

--include lib/mutex.lua
-- The slow path of mutex_release.lua, which handles every case.

local token, owned = ARGV[1], 0
if owner == token then
  redis.call('DEL', lock)
  owner, owned = false, 1
elseif queue_len > 0 and redis.call('ZREM', queue, token) == 1 then
  redis.call('HDEL', waiters, token)
  queue_len = queue_len - 1
end

if not owner then
  local waiter = next_waiter()
  if waiter then hand_over(waiter) end
end
return unfinished and owned + 2 or owned

-- Returns the owner of a mutex and its waiters. It changes nothing.
-- KEYS  as in lib/mutex.lua
-- Reply {owner or '', ms left or -1, last fence base, number of waiters, the first of them}
--       It reads the first 1,000 entries of the queue. Those behind count as live. It lists
--       up to 100 waiters.

--include lib/mutex.lua
local count, listed = queue_len, {}
if queue_len > 0 then
  local tokens = redis.call('ZRANGE', queue, 0, 999)
  for i, entry in ipairs(redis.call('HMGET', waiters, unpack(tokens))) do
    if not live_entry(entry) then
      count = count - 1
    elseif #listed < 100 then
      listed[#listed + 1] = tokens[i]
    end
  end
end
return {owner or '', owner and redis.call('PTTL', lock) or -1, last_fence or 0, count, unpack(listed)}

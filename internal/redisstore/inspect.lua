-- Says who has a mutex and who waits for it. It changes nothing.
-- KEYS  as in state.lua
-- Reply {owner or '', ms left or -1, last fence base, number of waiters, the first of them or ''}
--       Of the queue it reads the first 1,000 entries. Those behind count as alive.

--include state.lua

local failed = open(1)
if failed then return failed end

local count, first = waiting, ''
if waiting > 0 then
  local tokens = redis.call('ZRANGE', queue, 0, 999)
  for i, entry in ipairs(redis.call('HMGET', waiters, unpack(tokens))) do
    if not live(entry) then
      count = count - 1
    elseif first == '' then
      first = tokens[i]
    end
  end
end
return {owner or '', owner and redis.call('PTTL', lock) or -1, last or 0, count, first}

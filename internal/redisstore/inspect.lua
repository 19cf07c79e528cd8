-- Says who has a mutex and who waits for it. It changes nothing.
-- KEYS  as in state.lua
-- Reply {owner or '', ms left or -1, last fence base, how many wait, the first of them or ''}

--include state.lua

local failed = open(1)
if failed then return failed end

local live, first = 0, ''
for _, token in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
  local seen = string.match(redis.call('HGET', waiters, token) or '', '^(%d+) ')
  if seen and ms - tonumber(seen) < ENTRY_LIFE then
    if live == 0 then first = token end
    live = live + 1
  end
end
return {owner or '', owner and redis.call('PTTL', lock) or -1, last or 0, live, first}

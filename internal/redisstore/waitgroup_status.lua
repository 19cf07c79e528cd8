-- Returns how far a wait group is. A process that waits thereby ends the tasks of processes
-- that have died.
-- KEYS  as in lib/waitgroup.lua
-- ARGV  1, 2 as in lib/waitgroup.lua   3 the first generation that is waited for, or 0
-- Reply {generation, what is left of it, since, 1 if work is left (run it again), the
--       generations that lost tasks and how many, from the given one on; for 0, of the last}

--include lib/waitgroup.lua
local more = expire_tasks()
local left = count + task_count()
local from = tonumber(ARGV[3])
if from == 0 then from = generation end
local lost = {}
if generation > 0 then
  for _, record in ipairs(redis.call('ZRANGEBYSCORE', group, '-inf', string.format('-%.0f', from))) do
    local g, a = string.match(record, '^abandoned (%d+) (%d+)$')
    lost[#lost + 1], lost[#lost + 2] = tonumber(g), tonumber(a)
  end
end
return {generation, left, since, more and 1 or 0, lost}

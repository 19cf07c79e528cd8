--include round.lua
-- Says how far a wait group is. Any process that waits ends the tasks of those
-- that have died.
--
-- ARGV  3 the first of the rounds that are waited for, or 0
-- Reply {round, what is left of it, since, 1 if there is more to do (run it again), the
--       rounds that lost tasks and how many each, from that one on, or that is the last one}

local more = purge()
local left = count + tasks()
local from = tonumber(ARGV[3])
if from == 0 then from = round end
local lost = {}
if round > 0 then
  for _, record in ipairs(redis.call('ZRANGEBYSCORE', group, '-inf', string.format('-%.0f', from))) do
    local r, a = string.match(record, '^abandoned (%d+) (%d+)$')
    lost[#lost + 1], lost[#lost + 2] = tonumber(r), tonumber(a)
  end
end
return {round, left, since, more and 1 or 0, lost}

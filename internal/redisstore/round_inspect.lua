-- Says how far a wait group is, and whose its tasks are. It changes nothing, and so
-- it counts those as abandoned that round_look.lua would end.
-- KEYS, ARGV  as in round.lua
-- Reply {round, count, abandoned, number of further tasks, for each task: token, ms left}
--       It shows the 1,000 tasks that end first if they are not renewed.

--include round.lua

local live = string.format('(%.0f', now)
local all = redis.call('ZRANGEBYSCORE', group, live, '+inf', 'WITHSCORES', 'LIMIT', 0, 1000)
local reply = {round, count, abandoned + redis.call('ZCOUNT', group, '(0', now),
  redis.call('ZCOUNT', group, live, '+inf') - #all / 2}
for i = 1, #all, 2 do
  reply[#reply + 1], reply[#reply + 2] = all[i], tonumber(all[i + 1]) - now
end
return reply

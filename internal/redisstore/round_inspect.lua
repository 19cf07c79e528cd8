-- Says how far a wait group is, and whose its tasks are. It changes nothing, and so
-- it counts those as abandoned that round_look.lua would end.
-- KEYS, ARGV  as in round.lua
-- Reply {round, count, abandoned, for each task: token, ms left}

--include round.lua

local reply = {round, count, abandoned}
local all = redis.call('ZRANGEBYSCORE', group, '(0', '+inf', 'WITHSCORES')
for i = 1, #all, 2 do
  local left = tonumber(all[i + 1]) - now
  if left > 0 then
    reply[#reply + 1], reply[#reply + 2] = all[i], left
  else
    reply[3] = reply[3] + 1
  end
end
return reply

-- Returns the state of a wait group, and its tasks. It changes nothing, so it counts
-- as abandoned the tasks that waitgroup_status.lua would end.
-- KEYS, ARGV  as in lib/waitgroup.lua
-- Reply {generation, count, abandoned, number of further tasks, for each task: token, ms left}
--       It lists the 1,000 tasks that end first if nobody renews them.

--include lib/waitgroup.lua
local after_now = string.format('(%.0f', ms)
local page = redis.call('ZRANGEBYSCORE', group, after_now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1000)
local reply = {generation, count, abandoned + redis.call('ZCOUNT', group, '(0', ms),
  redis.call('ZCOUNT', group, after_now, '+inf') - #page / 2}
for i = 1, #page, 2 do
  reply[#reply + 1], reply[#reply + 2] = page[i], tonumber(page[i + 1]) - ms
end
return reply

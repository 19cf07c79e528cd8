-- Publishes a message. On the channel baton:@{tag}:name it goes to one node of a cluster, and on all
-- others to every node. If the first has no receivers, because the slot of the tag or of the lock
-- has moved, or for lack of rights, the message is published on baton:name.
local function publish(channel, message)
  local name = string.match(channel, '^baton:@{%d+}:(.*)$')
  local receivers = name and redis.pcall('SPUBLISH', channel, message)
  if type(receivers) ~= 'number' or receivers == 0 then
    redis.pcall('PUBLISH', name and 'baton:' .. name or channel, message)
  end
end

-- Publishes a message. On a channel baton:@{tag}:name it goes to one node of a cluster, and on any
-- other channel to every node. If nobody receives it on the one node, because the slot of the tag or
-- of the lock has moved, or for lack of rights, it is published on baton:name.
local function publish(channel, message)
  local name = string.match(channel, '^baton:@{%d+}:(.*)$')
  local receivers = name and redis.pcall('SPUBLISH', channel, message)
  if type(receivers) ~= 'number' or receivers == 0 then
    redis.pcall('PUBLISH', name and 'baton:' .. name or channel, message)
  end
end

-- Publishes a message. All channels but baton:@{tag}:name are heard on all nodes of a cluster.
-- That one is the part of the channel baton:name that is heard on one node only: the other nodes
-- get nothing. If nobody hears it, because the slot of the tag or of the lock has moved, or for
-- lack of rights, the message goes to all nodes.
local function publish(channel, message)
  local name = string.match(channel, '^baton:@{%d+}:(.*)$')
  local heard = name and redis.pcall('SPUBLISH', channel, message)
  if type(heard) ~= 'number' or heard == 0 then
    redis.pcall('PUBLISH', name and 'baton:' .. name or channel, message)
  end
end

-- Publishes a message to a process. The channel baton:{tag}:process is that of one node of a
-- cluster, and the other nodes get nothing. If nobody hears it, because the slot of the tag or
-- of the lock has moved, or for lack of rights, the message goes to all nodes.
local function publish(channel, message)
  local process = string.match(channel, '^baton:{%d+}:(.*)$')
  local heard = process and redis.pcall('SPUBLISH', channel, message)
  if type(heard) ~= 'number' or heard == 0 then
    redis.pcall('PUBLISH', process and 'baton:' .. process or channel, message)
  end
end

-- Returns the error of a companion key, such as 'queue'. Only a WRONGTYPE of the user's own
-- key means that its holder has lost it, so that of a companion key must not begin with it.
local function wrap_type_error(name, reply)
  if string.find(reply.err, '^WRONGTYPE') then return {err = 'ERR ' .. name .. ' key: ' .. reply.err} end
  return reply
end

-- While a cluster migrates a slot, its old node refuses every command on a key that is not
-- there any more, also in the middle of a script. A script that empties a key and goes on
-- would stop halfway. Such a script returns SLOT_MIGRATING before its first write, and is
-- sent again.
--
-- To find out, a script asks for a key that never exists. A script whose keys exist only in
-- part does not start on the old node, so a script that found its queue missing need not ask.

local SLOT_MIGRATING = {err = 'TRYAGAIN the slot is migrating'}

local function slot_migrating(key)
  local reply = redis.pcall('EXISTS', key .. ':probe')
  return type(reply) == 'table' and string.find(reply.err, 'non local key', 1, true)
end

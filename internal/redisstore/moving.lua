-- While a cluster moves a slot, its old node refuses, in the middle of a script too,
-- every command on a key that is not there any more: one that the script itself has
-- emptied, above all. The script would end half done. So one that might comes to
-- nothing before its first write, and is asked for again, as are those whose keys are
-- apart already. Whether a slot is moving is told by a key that is never there.
--
-- A script with several keys begins there only if it finds all of them, so one that
-- has found its queue missing need not ask.

local MOVING = {err = 'TRYAGAIN the slot is moving'}

local function moving(sibling)
  local reply = redis.pcall('EXISTS', sibling .. ':never')
  return type(reply) == 'table' and string.find(reply.err, 'non local key', 1, true)
end

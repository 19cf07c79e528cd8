-- Releases several locks, each as release.lua would.
-- KEYS  for each lock as in state.lua
-- ARGV  for each lock the token
-- Reply for each lock as of release.lua, or the error. One does not keep the
--       others from being released.

--include state.lua
--include leave.lua

local reply = {}
for i = 1, #KEYS / 4 do
  reply[i] = open(i) or leave(ARGV[i])
end
return reply

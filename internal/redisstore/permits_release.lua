-- Ends whatever token has here, permits or a place in the line, and lets in who
-- is next. Repeated, it changes nothing.
-- KEYS  as in permits.lua
-- ARGV  1 token, or '' to let in only   2 kind
-- Reply 1 if token held permits, 0 if it did not; and 2 more if others could be let in,
--       but were more than one script lets in: run it again.

--include permits.lua

if not size then
  if entered > 0 then leave(self) end
  return 0
end
local owned = own and own.expires > ms and 1 or 0
if own then -- both are allowed when out of memory, and then so is the rest
  remove(self, own)
else
  redis.call('PEXPIRE', main, number(life))
end
purge()
if entered > 0 then leave(self) end
if serve() then owned = owned + 2 end
save()
return owned

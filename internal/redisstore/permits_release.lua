-- Ends whatever token has, permits or a place in the queue, and grants the next waiters what
-- they want. Repeating it changes nothing.
-- KEYS  as in lib/permits.lua
-- ARGV  1 token, or '' to grant only   2 kind
-- Reply 1 if token held permits, 0 if not; plus 2 if more waiters fit than one script lets
--       in: run it again.

--include lib/permits.lua
if not size then
  if entries_len > 0 then leave_queue(self) end
  return 0
end
local owned = self_hold and self_hold.expires > ms and 1 or 0
if self_hold then -- both writes are allowed when out of memory, and then so are the others
  remove_hold(self, self_hold)
else
  redis.call('PEXPIRE', main, integer(key_ttl))
end
expire_holds()
if entries_len > 0 then leave_queue(self) end
if grant_waiters() then owned = owned + 2 end
save()
return owned

-- Changes the size for all processes, and grants the waiters that fit now what they want.
-- KEYS  as in lib/permits.lua
-- ARGV  1 ''   2 kind   3 the size that the caller was made with   4 the new size
-- Reply 0; or 2 as of permits_release.lua.

--include lib/permits.lua
if not size then declared_size = tonumber(ARGV[3]) end
size = tonumber(ARGV[4])
expire_holds()
local left = grant_waiters()
save()
return left and 2 or 0

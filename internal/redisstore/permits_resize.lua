-- Changes the size for all, and lets in who now fits.
-- KEYS  as in permits.lua
-- ARGV  1 ''   2 kind   3 the size that the caller was made with   4 the new size
-- Reply 0; or 2 as of permits_release.lua.

--include permits.lua

if not size then declared = tonumber(ARGV[3]) end
size = tonumber(ARGV[4])
purge()
local left = serve()
save()
return left and 2 or 0

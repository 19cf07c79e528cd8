-- Stores the value beside a mutex, if token owns the mutex. Repeating it changes nothing.
-- KEYS  1 the lock   2 the value
-- ARGV  as in lib/value.lua
-- Reply 1: stored; 0: token does not own the lock; -1: a higher fence has written;
--       -2: the value was deleted since

--include lib/value.lua
local outcome = check_write()
if outcome == 1 then store_value() end
return outcome

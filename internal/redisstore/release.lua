-- Ends whatever token has here, the lock or a place in the queue, and lets the
-- next in line in if the lock is free thereafter. Repeated, it changes nothing.
-- KEYS  as in state.lua
-- ARGV  1 token
-- Reply 1 if token owned the lock, 0 if it did not.

-- Mostly the lock is ours and nobody waits.
if redis.pcall('GET', KEYS[1]) == ARGV[1] and redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('DEL', KEYS[1])
  return 1
end

--include state.lua
--include leave.lua

return open(1) or leave(ARGV[1])

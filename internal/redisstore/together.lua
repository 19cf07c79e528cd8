-- Takes several locks one after the other, each as acquire.lua would, up to the
-- first that it cannot have. Or takes all or none, and queues for none.
-- KEYS  for each lock as in state.lua, in the order in which everybody takes them
-- ARGV  1 is 1 for all or none
--       then for each lock: token   ttl   number   ttl of a hand-over   channel   key
-- Reply for each lock up to the first that it cannot have: as of acquire.lua, or
--       the error. With all or none those before that one say {0, 0, -1, 1}.

--include state.lua
--include take.lua
--include leave.lua

local all, count, first, reply = ARGV[1] == '1', #KEYS / 4, 1, {}
local function token(i) return ARGV[6 * i - 4] end

-- Mostly this finds out, before anything is written, that not all can be had.
if all then
  for i = 1, count do
    if open(i) or owner and owner ~= token(i) then
      first = i
      break
    end
  end
end

for i = first, count do
  local n = all and '0' or ARGV[6 * i - 2]
  reply[i] = open(i) or take(token(i), ARGV[6 * i - 3], n, ARGV[6 * i - 1], ARGV[6 * i], ARGV[6 * i + 1])
  if reply[i][1] ~= 1 then
    if all then -- now, or by an earlier copy of this
      for j = 1, count do
        if redis.pcall('GET', KEYS[4 * j - 3]) == token(j) and not open(j) then leave(token(j)) end
        if j < i then reply[j] = {0, 0, -1, 1} end
      end
    end
    break
  end
end
return reply

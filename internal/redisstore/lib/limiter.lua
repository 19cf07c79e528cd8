-- Reads the bucket of a limiter, KEYS[1].
-- stored   its fields, nil if the bucket is full: "limit base taken rate written_at burst"
-- missing  the tokens that it lacks now, at the rate of the last use
-- us is the time, from lib/clock.lua.

--include lib/clock.lua
local MAX_WAIT_US = 9e15 -- no reservation is further ahead

local stored, missing, clock_went_back = nil, 0, false
do
  local state = redis.pcall('GET', KEYS[1])
  if type(state) == 'table' then return state end
  if state then
    local base, taken, rate, written_at, burst = string.match(state, '^limit (%d+) (%S+) (%S+) (%d+) ?(%d*)$')
    if not (base and tonumber(taken) and tonumber(rate)) then
      return {err = 'ERR the key holds a string that is not the state of a limiter'}
    end
    stored = {base = tonumber(base), taken = tonumber(taken), rate = rate, written_at = tonumber(written_at), burst = tonumber(burst) or 0}
    clock_went_back = us < stored.written_at -- no time has passed since then
    missing = stored.taken - (math.max(us, stored.written_at) - stored.base) * tonumber(rate) / 1e6
  end
end

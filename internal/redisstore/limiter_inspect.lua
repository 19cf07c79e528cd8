-- Returns how many tokens a limiter has. It changes nothing.
-- KEYS  1 the bucket
-- Reply {rate per second, burst, tokens, us}: rate, burst and tokens as text, and the time until
--       there is a token for the next. Rate and burst are those of the last use. Tokens that
--       were taken for a later time count below 0. If the bucket is full the rate is ''.

--include lib/limiter.lua
if not stored then return {'', '0', '0', 0} end
missing = math.max(missing, 0)
local wait = math.ceil(math.max(missing + 1 - stored.burst, 0) * 1e6 / tonumber(stored.rate))
return {stored.rate, string.format('%.0f', stored.burst), string.format('%.17g', stored.burst - missing), math.min(wait, MAX_WAIT_US)}

-- Sets last, the stored fence base of a mutex (a table: an error), and base, the next one. Stores
-- base, in most cases by the same command: this is for the fast paths. It is the rule of
-- lib/next_fence.lua, written out: making a function would cost the server about 4 % of each lock
-- and unlock. If last is an error, nothing was stored: the fence key has another type, or Redis is
-- out of memory, or older than 6.2 and knows no SET with GET.
local last, base = redis.pcall('SET', KEYS[4], us, 'PX', RETENTION, 'GET'), us
if type(last) ~= 'table' then
  last = tonumber(last)
  if last and last >= us and last < MAX_EXACT then
    base = last + 1
    redis.call('SET', KEYS[4], base, 'PX', RETENTION)
  end
end

-- Stores the fence base of a grant by one command, which also reads the last base. The new one
-- is above every earlier one: by the stored one while that lives, by the clock after it was
-- lost. If last is an error, nothing was stored: the key has another type, or Redis is out of
-- memory, or older than 6.2 and knows no SET with GET.
local last, base = redis.pcall('SET', KEYS[4], us, 'PX', RETENTION, 'GET'), us
if type(last) ~= 'table' then
  last = tonumber(last)
  if last and last >= us and last < MAX_EXACT then
    base = last + 1
    redis.call('SET', KEYS[4], base, 'PX', RETENTION)
  end
end

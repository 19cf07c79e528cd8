-- Returns the fence base that follows last, the stored one. It is above every earlier base: by
-- last while that is stored, by the clock after it was lost. A stored value that no base can
-- have counts as lost.
local function next_fence(last)
  last = tonumber(last)
  return last and last >= us and last < MAX_EXACT and last + 1 or us
end

-- Stores the next fence base of a mutex and returns it, in most cases by one command. Returns
-- nil, and has stored nothing, if the fence key has another type, or if Redis is out of memory,
-- or older than 6.2: then it knows no SET with GET.
local function store_fence()
  local last = redis.pcall('SET', KEYS[4], us, 'PX', RETENTION, 'GET')
  if type(last) == 'table' then return nil end
  local base = next_fence(last)
  if base ~= us then redis.call('SET', KEYS[4], base, 'PX', RETENTION) end
  return base
end

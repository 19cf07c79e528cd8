-- Reports whether text is an integer as the scripts store it, of at most so many characters.
local function is_integer(text, most) return #text <= most and string.find(text, '^%-?%d+$') end

-- Returns reset, fence, token, written_at, fresh_until, stale and value of the value at key. If
-- one of its numbers is none, it was not stored by the scripts, and there is no value.
local function load_value(key)
  local v = redis.pcall('HMGET', key, 'reset', 'fence', 'token', 'written_at', 'fresh_until', 'stale', 'value')
  if v.err then return wrap_type_error('value', v) end
  v[2], v[4], v[5], v[6] = v[2] or '0', v[4] or '0', v[5] or '0', v[6] or '0'
  if not (is_integer(v[2], 19) and is_integer(v[4], 16) and is_integer(v[5], 17) and is_integer(v[6], 13)) then v[7] = false end
  return v
end

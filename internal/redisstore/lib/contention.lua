-- The contention notice. A claim that wants to know when others wait has a serial in its token
-- that ends with !, or with ~ if the claim may also linger: nobody may be using it. In a cluster
-- the tag of its process's channel on the node of the key may follow.

-- Returns the channel on which to notify the claim of token, nil if it does not want to know,
-- and whether the claim may linger.
local function notice_channel(token)
  local process, mark, tag = string.match(token, '^baton:%d+:[^:]*:%d+:([^:]+):%w+([!~])(%d*)')
  return process and 'baton:' .. (tag ~= '' and '@{' .. tag .. '}:' or '') .. process, mark == '~'
end

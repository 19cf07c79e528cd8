-- Returns the fence base that follows last, the stored one. It is above every earlier base: by
-- last while that is stored, by the clock after it was lost. A stored value that no base can
-- have counts as lost.
local function next_fence(last)
  return last and last >= us and last < MAX_EXACT and last + 1 or us
end

-- Times and bounds that the scripts share. Times in ms are strings, which is what commands
-- take without a conversion. RETENTION outlives a step back of the clock by an hour.
local WAITER_TTL = '3600'       -- a waiter whose last request is older is stale
local RETENTION = '3900000'     -- 65 minutes, for what nobody holds or waits for any more
local GROUP_TTL = '86400000'    -- 24 hours, for an unfinished wait group after a change
local RESERVATION_TTL = '15000' -- a limiter's reservation is kept for so long after it is due
local MAX_EXACT = 2 ^ 53 - 1    -- smaller integers are exact here; a stored one that is not is not ours
local BATCH = 64                -- how much one script does at most of work that others left

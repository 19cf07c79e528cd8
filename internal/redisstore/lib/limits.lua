-- Times and bounds that the scripts share. Times in ms are strings, which is what commands
-- take without a conversion.
local WAITER_TTL = '3600'    -- a waiter whose last request is older is stale
local RETENTION = '3900000'  -- 65 minutes; outlives a step back of the clock by an hour
local MAX_EXACT = 2 ^ 53 - 1 -- smaller integers are exact here; a stored one that is not is not ours
local BATCH = 64             -- how much one script does at most of work that others left

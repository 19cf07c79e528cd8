package main

// bounds breaks what keeps each script short, whatever others have left behind, and what goes on
// with the rest.
var bounds = []mutant{
	{
		"readers-uncapped", "one script lets in all who wait",
		"internal/redisstore/permits.lua", `elseif done == BATCH then`, `elseif false then`,
		"internal/redisstore", "TestPermitsOfOneReleaseInSteps",
	},
	{
		"purge-uncapped", "one script ends all holds that have run out",
		"internal/redisstore/permits.lua", `for _ = 1, BATCH do`, `for _ = 1, 1e9 do`,
		"internal/redisstore", "TestScriptsAreBounded",
	},
	{
		"check-uncapped", "one script checks all tasks after the clock was set back",
		"internal/redisstore/round.lua", `'ZSCAN', group, cursor, 'COUNT', BATCH)`, `'ZSCAN', group, cursor, 'COUNT', 1000000)`,
		"internal/redisstore", "TestScriptsAreBounded",
	},
	{
		"stale-barge", "who finds only stale entries in a part of the queue gets the lock",
		"internal/redisstore/take.lua", `not head and not unfinished then`, `not head then`,
		"internal/redisstore", "TestRequestsBehindManyStaleEntries",
	},
	{
		"release-unfinished", "whoever releases does not go on, though more could be let in",
		"internal/redisstore/store.go", `	if more {
		s.repeatRelease(ctx, end, keys, args)`, `	if more && len(args) > 5 {
		s.repeatRelease(ctx, end, keys, args)`,
		"internal/redisstore", "TestReleaseBehindManyStaleEntries",
	},
	{
		"stale-pile-up", "nobody drops stale entries of a lock that is held",
		"internal/redisstore/take.lua", `if not place or place % 16 == 0 then drop_stale_ahead(token) end`, ``,
		"internal/redisstore", "TestWaitersDropStaleEntriesAheadOfThem",
	},
	{
		"permits-stale-pile-up", "nobody drops stale entries of permits that are held",
		"internal/redisstore/permits_ask.lua", `if ahead and not (other and other.alive) then`, `if false then`,
		"internal/redisstore", "TestPermitsDropStaleEntriesAheadOfThem",
	},
	{
		"some-readers-told", "only the first readers are told that a writer waits",
		"internal/redisstore/permits_ask.lua", `untold, left = first, left or first > 0`, `untold, left = 0, left`,
		"internal/redisstore", "TestReadersAreToldInSteps",
	},
	{
		"rebuild-miscounts", "a rebuild in steps forgets what has been given meanwhile",
		"internal/redisstore/permits.lua", `used, counted = used + h.given, counted + h.given`, `used = used + h.given`,
		"internal/redisstore", "TestPermitsRebuiltInSteps",
	},
	{
		"look-once", "a look does not go on, though more tasks may have died",
		"internal/redisstore/waitgroup.go", `step == maxSteps`, `step == 1`,
		"internal/redisstore", "TestScriptsAreBounded/group/look",
	},
	{
		"records-leak", "of a session's operations that are over only some are forgotten",
		"internal/redisstore/round_change.lua", `redis.call('HSET', operations, 'swept', string.format('%.0f', swept))`, `-- forgotten`,
		"internal/redisstore", "TestWaitGroupForgetsWhatIsOver",
	},
	{
		"message-server-key", "a message names the key as the server has it, and not as its users do",
		"internal/redisstore/state.lua", `to.token .. ' ' .. to.key)`, `to.token .. ' ' .. lock)`,
		"internal/redisstore", "TestMessagesNameTheKeyWithoutAPrefix",
	},
	{
		"round-server-key", "the message of a round's end names the key as the server has it",
		"internal/redisstore/round.lua", `round, abandoned) .. key)`, `round, abandoned) .. group)`,
		"waitgroup", "TestWaitWithKeyPrefix",
	},
	{
		"old-server", "a free lock cannot be had on a server that does not know SET with GET",
		"internal/redisstore/acquire.lua", `if type(last) ~= 'table' then -- else`, `if type(last) == 'table' then return last else -- else`,
		"internal/redisstore", "TestServerWithoutSetGet",
	},
}

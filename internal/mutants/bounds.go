package main

// bounds breaks what keeps each script short, whatever others have left behind, and what goes on
// with the rest.
var bounds = []mutant{
	{"readers-uncapped", "one script grants all readers that wait", "internal/redisstore/lib/permits.lua",
		`elseif done == BATCH then`, `elseif false then`, "internal/redisstore", "TestPermitsOfOneReleaseInSteps"},
	{"purge-uncapped", "one script ends all holds that have run out", "internal/redisstore/lib/permits.lua",
		`for _ = 1, BATCH do`, `for _ = 1, 1e9 do`, "internal/redisstore", "TestScriptsAreBounded"},
	{"check-uncapped", "one script checks all tasks after the clock was set back", "internal/redisstore/lib/waitgroup.lua",
		`'ZSCAN', group, cursor, 'COUNT', BATCH)`, `'ZSCAN', group, cursor, 'COUNT', 1000000)`, "internal/redisstore", "TestScriptsAreBounded"},
	{"stale-barge", "a request that finds only stale entries in a part of the queue gets the lock", "internal/redisstore/lib/mutex_acquire_slow.lua",
		`not waiter and not unfinished then`, `not waiter then`, "internal/redisstore", "TestScriptsAreBounded/mutex/acquire"},
	{"release-unfinished", "whoever releases does not go on, though more could be let in", "internal/redisstore/store.go",
		`	if more {
		s.repeatRelease(ctx, end, keys, args)`, `	if more && len(args) > 5 {
		s.repeatRelease(ctx, end, keys, args)`, "internal/redisstore", "TestReleaseBehindManyStaleWaiters"},
	{"stale-pile-up", "nobody drops stale entries of a lock that is held", "internal/redisstore/lib/mutex_acquire_slow.lua",
		`if not place or place % 16 == 0 then drop_stale_ahead(token) end`, ``, "internal/redisstore", "TestWaitersDropStaleWaitersAhead"},
	{"permits-stale-pile-up", "nobody drops stale entries of permits that are held", "internal/redisstore/permits_update.lua",
		`  drop_stale_ahead(self)
`, ``, "internal/redisstore", "TestPermitsDropStaleWaitersAhead"},
	{"some-readers-told", "only the first readers get the notice that a writer waits", "internal/redisstore/permits_update.lua",
		`unnotified, left = first, left or first > 0`, `unnotified, left = 0, left`, "internal/redisstore", "TestScriptsAreBounded/rw/readers_are_notified"},
	{"rebuild-miscounts", "a rebuild in steps forgets what has been given meanwhile", "internal/redisstore/lib/permits.lua",
		`used, indexed = used + h.granted, indexed + h.granted`, `used = used + h.granted`, "internal/redisstore", "TestPermitsRebuiltInSteps"},
	{"look-once", "a look does not go on, though more tasks may have died", "internal/redisstore/waitgroup.go",
		`step == maxSteps`, `step == 1`, "internal/redisstore", "TestScriptsAreBounded/group/status"},
	{"records-leak", "of a session's operations that are over only some are forgotten", "internal/redisstore/waitgroup_update.lua",
		`redis.call('HSET', ops, 'deleted', string.format('%.0f', deleted))`, `-- forgotten`, "internal/redisstore", "TestWaitGroupDeletesAckedRecords"},
	{"message-server-key", "a message names the key as the server has it, and not as its users do", "internal/redisstore/lib/mutex.lua",
		`waiter.token .. ' ' .. waiter.key)`, `waiter.token .. ' ' .. lock)`, "internal/redisstore", "TestMessagesNameTheKeyWithoutAPrefix"},
	{"round-server-key", "the message of a round's end names the key as the server has it", "internal/redisstore/lib/waitgroup.lua",
		`generation, abandoned) .. key)`, `generation, abandoned) .. group)`, "internal/redisstore", "TestMessagesNameTheKeyWithoutAPrefix"},
	{"old-server", "a free lock cannot be had on a server that does not know SET with GET", "internal/redisstore/mutex_acquire.lua",
		`if type(last) ~= 'table' then`, `if type(last) == 'table' then return last else`, "internal/redisstore", "TestServerWithoutSetGet"},
}

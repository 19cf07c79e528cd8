package main

// bounds breaks the limits on the work of each script, and the continuation of unfinished work.
var bounds = []mutant{
	{"readers-uncapped", "one script grants all waiting readers", "internal/redisstore/lib/permits.lua",
		`elseif done == BATCH then`, `elseif false then`, "internal/redisstore", "TestPermitsOfOneReleaseInSteps"},
	{"purge-uncapped", "one script removes all expired holds", "internal/redisstore/lib/permits.lua",
		`for _ = 1, BATCH do`, `for _ = 1, 1e9 do`, "internal/redisstore", "TestScriptsAreBounded"},
	{"check-uncapped", "one script checks all tasks after the clock was set back", "internal/redisstore/lib/waitgroup.lua",
		`'ZSCAN', group, cursor, 'COUNT', BATCH)`, `'ZSCAN', group, cursor, 'COUNT', 1000000)`, "internal/redisstore", "TestScriptsAreBounded"},
	{"stale-barge", "a request that finds only stale entries in one batch of the queue gets the lock", "internal/redisstore/lib/mutex_acquire_slow.lua",
		`not waiter and not unfinished then`, `not waiter then`, "internal/redisstore", "TestScriptsAreBounded/mutex/acquire"},
	{"release-unfinished", "an unfinished release is not continued, although more waiters could be granted", "internal/redisstore/store.go",
		`	if more {
		s.repeatRelease(ctx, end, keys, args)`, `	if more && len(args) > 5 {
		s.repeatRelease(ctx, end, keys, args)`, "internal/redisstore", "TestReleaseBehindManyStaleWaiters"},
	{"stale-pile-up", "no request drops stale entries of a held lock", "internal/redisstore/lib/mutex_acquire_slow.lua",
		`if not place or place % 16 == 0 then drop_stale_ahead(token) end`, ``, "internal/redisstore", "TestWaitersDropStaleWaitersAhead"},
	{"permits-stale-pile-up", "no request drops stale entries of held permits", "internal/redisstore/permits_update.lua",
		`  drop_stale_ahead(self)
`, ``, "internal/redisstore", "TestPermitsDropStaleWaitersAhead"},
	{"some-readers-notified", "only the first readers get the notice of a waiting writer", "internal/redisstore/permits_update.lua",
		`unnotified, left = first, left or first > 0`, `unnotified, left = 0, left`, "internal/redisstore", "TestScriptsAreBounded/rw/readers_are_notified"},
	{"rebuild-miscounts", "a rebuild in steps forgets permits granted during the rebuild", "internal/redisstore/lib/permits.lua",
		`used, indexed = used + h.granted, indexed + h.granted`, `used = used + h.granted`, "internal/redisstore", "TestPermitsRebuiltInSteps"},
	{"status-once", "a status request does not continue, although more tasks may have died", "internal/redisstore/waitgroup.go",
		`step == maxSteps`, `step == 1`, "internal/redisstore", "TestScriptsAreBounded/group/status"},
	{"records-leak", "only some records of a session's finished operations are deleted", "internal/redisstore/waitgroup_update.lua",
		`redis.call('HSET', ops, 'deleted', string.format('%.0f', deleted))`, `-- forgotten`, "internal/redisstore", "TestWaitGroupDeletesAckedRecords"},
	{"message-server-key", "a message contains the server's key with its prefix instead of the client's key", "internal/redisstore/lib/mutex.lua",
		`waiter.token .. ' ' .. waiter.key)`, `waiter.token .. ' ' .. lock)`, "internal/redisstore", "TestMessagesNameTheKeyWithoutAPrefix"},
	{"generation-server-key", "the message of a generation's end contains the server's key with its prefix", "internal/redisstore/lib/waitgroup.lua",
		`generation, abandoned) .. key)`, `generation, abandoned) .. group)`, "internal/redisstore", "TestMessagesNameTheKeyWithoutAPrefix"},
	{"old-server", "a free lock cannot be acquired on a server without SET with GET", "internal/redisstore/mutex_acquire.lua",
		`if type(last) ~= 'table' then`, `if type(last) == 'table' then return last else`, "internal/redisstore", "TestServerWithoutSetGet"},
}

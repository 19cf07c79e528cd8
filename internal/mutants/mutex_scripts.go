package main

// mutexScripts breaks what Redis does for the Mutex, and how it is asked to.
var mutexScripts = []mutant{
	{
		"release-unowned", "release deletes the lock, whoever owns it",
		"internal/redisstore/mutex_release.lua", `redis.pcall('GET', KEYS[1]) == ARGV[1]
`, `redis.call('EXISTS', KEYS[1]) == 1
`,
		"internal/redisstore", "TestReleaseNeverDeletesAnothersLock",
	},
	{
		"leave-unowned", "the same while others wait",
		"internal/redisstore/lib/mutex_release_slow.lua", `if owner == token then`, `if owner then`,
		"internal/redisstore", "TestNoScriptLeavesALockFreeWhileSomebodyWaits",
	},
	{
		"leave-keeps-entry", "a cancelled waiter stays in the queue, and is granted the lock",
		"internal/redisstore/lib/mutex_release_slow.lua", `queue_len > 0 and redis.call('ZREM', queue, token) == 1`, `false`,
		"internal/redisstore", "TestNoScriptLeavesALockFreeWhileSomebodyWaits",
	},
	{
		"release-wakes-nobody", "a release lets nobody in",
		"internal/redisstore/lib/mutex_release_slow.lua", `if waiter then hand_over(waiter) end`, ``,
		"internal/redisstore", "TestReleaseHandsOverInTurn",
	},
	{
		"renew-creates", "renewal creates the key that is not there",
		"internal/redisstore/mutex_renew.lua", `if owner ~= ARGV[1] then return 0 end`,
		`if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1])`,
		"internal/redisstore", "TestRenew",
	},
	{
		"renew-unowned", "renewal renews whoever's lock it is",
		"internal/redisstore/mutex_renew.lua", `if owner ~= ARGV[1] then return 0 end`, `if not owner then return 0 end`,
		"internal/redisstore", "TestRenew",
	},
	{
		"fence-by-counter", "a fence starts anew when its counter was lost, as it is handed over",
		"internal/redisstore/lib/mutex.lua", `last_fence = next_fence(last_fence)`, `last_fence = (last_fence or 0) + 1`,
		"internal/redisstore", "TestFencesGrow",
	},
	{
		"fence-by-clock", "a fence goes back with the server's clock",
		"internal/redisstore/lib/store_fence.lua", `if last and last >= us and last < MAX_EXACT then`, `if false then`,
		"internal/redisstore", "TestFencesGrow",
	},
	{
		"slot-moves", "a script begins to write while its slot moves, and is cut short",
		"internal/redisstore/lib/slot_migration.lua", `return type(reply) == 'table' and`, `return false and`,
		"internal/matrix/mutex", "TestClusterSlotBeginsToMove",
	},
	{
		"fence-digits", "a fence loses digits",
		"internal/redisstore/lib/mutex.lua", `string.format('%.0f', last_fence), 'PX', RETENTION)`, `tostring(last_fence), 'PX', RETENTION)`,
		"internal/redisstore", "TestFenceKeepsAllDigits",
	},
	{
		"repeat-new-fence", "a request that is repeated by the owner gets another fence",
		"internal/redisstore/lib/mutex_acquire_slow.lua", `last_fence or grant(token, ttl)`, `grant(token, ttl)`,
		"internal/redisstore", "TestAcquireByTheOwnerRenews",
	},
	{
		"barge", "a request after the lock has expired overtakes the waiters",
		"internal/redisstore/lib/mutex_acquire_slow.lua", `local waiter = next_waiter(token)`, `local waiter = nil`,
		"internal/redisstore", "TestNoScriptLeavesALockFreeWhileSomebodyWaits",
	},
	{
		"poll-loses-place", "a waiter that polls goes to the tail of the queue",
		"internal/redisstore/lib/mutex.lua", `if not redis.call('ZSCORE', queue, token) then`, `do`,
		"internal/redisstore", "TestReleaseHandsOverInTurn",
	},
	{
		"entry-keeps-number", "an entry keeps the number of its first request",
		"internal/redisstore/lib/mutex.lua", `redis.call('HSET', waiters, token,`, `redis.call('HSETNX', waiters, token,`,
		"internal/redisstore", "TestReleaseHandsOverInTurn",
	},
	{
		"dead-not-skipped", "a hand-over does not pass over entries that nobody has refreshed",
		"internal/redisstore/lib/mutex.lua", `if seen_at and tonumber(seen_at) > ms - WAITER_TTL then`, `if seen_at then`,
		"internal/redisstore", "TestWaiterLivesForTheWaiterTTL",
	},
	{
		"future-is-dead", "an entry from before the clock was set back is taken for dead",
		"internal/redisstore/lib/mutex.lua", `tonumber(seen_at) > ms - WAITER_TTL`, `math.abs(ms - seen_at) < tonumber(WAITER_TTL)`,
		"internal/redisstore", "TestNoScriptLeavesALockFreeWhileSomebodyWaits",
	},
	{
		"hand-over-whole-ttl", "a hand-over gives the whole TTL, so that a dead waiter costs as much",
		"internal/redisstore/lib/mutex_acquire_slow.lua", `local place = enqueue(token, ARGV[3], ARGV[4], ARGV[5], ARGV[6])`, `local place = enqueue(token, ARGV[3], ttl, ARGV[5], ARGV[6])`,
		"internal/redisstore", "TestReleaseHandsOverInTurn",
	},
	{
		"publish-must-succeed", "a hand-over publishes before it writes, and fails if that does",
		"internal/redisstore/lib/mutex.lua", `  local base = grant(waiter.token, waiter.ttl)
  publish(`, `  local base = next_fence(last_fence)
  redis.call('PUBLISH', `,
		"internal/redisstore", "TestHandOverWithoutPermissionToPublish",
	},
	{
		"ttl-not-cut", "the TTL is not cut after the server's clock was set back",
		"internal/redisstore/lib/mutex_acquire_slow.lua", `if most and left > tonumber(most) then`, `if false then`,
		"internal/redisstore", "TestWaiterCutsATTLThatIsTooLong",
	},
	{
		"short-dead-not-skipped", "a release hands the lock to an entry that nobody has refreshed",
		"internal/redisstore/mutex_release.lua", `if seen_at and tonumber(seen_at) > ms - WAITER_TTL then`, `if seen_at then`,
		"internal/redisstore", "TestWaiterLivesForTheWaiterTTL",
	},
	{
		"fence-unstored", "a fence that is above the clock is not stored",
		"internal/redisstore/lib/store_fence.lua", `    redis.call('SET', KEYS[4], base, 'PX', RETENTION)
`, ``,
		"internal/redisstore", "TestFencesGrow",
	},
	{
		"short-poll-loses-place", "whose entry was lost goes to the tail when it asks again while somebody has the lock",
		"internal/redisstore/mutex_acquire.lua", `redis.call('ZADD', KEYS[2], 'NX',`, `redis.call('ZADD', KEYS[2],`,
		"internal/redisstore", "TestNoScriptLeavesALockFreeWhileSomebodyWaits",
	},
	{
		"short-owner-queues", "an owner that asks again waits for itself",
		"internal/redisstore/mutex_acquire.lua", `if type(owner) == 'string' and owner ~= ARGV[1] then`, `if type(owner) == 'string' then`,
		"internal/redisstore", "TestAcquireByTheOwnerRenews",
	},
	{
		"short-ttl-not-cut", "a request that queues does not check whether the owner's TTL is too long",
		"internal/redisstore/mutex_acquire.lua", `if not (most and left > tonumber(most)) and not tail.err`, `if not tail.err`,
		"internal/redisstore", "TestWaiterCutsATTLThatIsTooLong",
	},
	{
		"short-type-unchecked", "a request that queues does not check the type of the fence",
		"internal/redisstore/mutex_acquire.lua", ` and type(redis.pcall('GET', KEYS[4])) ~= 'table' then`, ` then`,
		"internal/redisstore", "TestSiblingOfAnotherType",
	},
	{
		"short-whole-ttl", "a hand-over gives the whole TTL to a waiter that found the lock held",
		"internal/redisstore/mutex_acquire.lua", `ARGV[3] .. ' ' .. ARGV[4] .. ' '`, `ARGV[3] .. ' ' .. ARGV[2] .. ' '`,
		"internal/redisstore", "TestReleaseHandsOverInTurn",
	},
	{
		"short-entry-lives", "the queue outlives its entries",
		"internal/redisstore/mutex_acquire.lua", `redis.call('PEXPIRE', KEYS[2], WAITER_TTL)`, `redis.call('PEXPIRE', KEYS[2], 10 * WAITER_TTL)`,
		"internal/redisstore", "TestAcquireOfAHeldLock",
	},
	{
		"type-unchecked", "the type of the waiters' key is not checked before the first write",
		"internal/redisstore/lib/mutex.lua", `if type(entries_len) == 'table' then return wrap_type_error('waiters', entries_len) end`, ``,
		"internal/redisstore", "TestSiblingOfAnotherType",
	},
	{
		"type-of-sibling", "a sibling of another type is taken for the loss of the lock",
		"internal/redisstore/lib/type_error.lua", `then return {err = 'ERR ' .. name .. ' key: ' .. reply.err} end`, `then return reply end`,
		"internal/redisstore", "TestSiblingOfAnotherType",
	},
	{
		"yield-old-token", "yielding to nobody keeps the old token",
		"internal/redisstore/mutex_yield.lua", `    return granted(grant(token, ttl), ttl)`, `    return granted(grant(old, ttl), ttl)`,
		"internal/redisstore", "TestYieldRepeatedOrLate",
	},
	{
		"notice-unsent", "the waiter that becomes the first in the queue does not notify the owner",
		"internal/redisstore/mutex_acquire.lua", `if channel and place == 1 then`, `if false then`,
		"internal/redisstore", "TestFirstWaiterNotifiesTheOwner",
	},
	{
		"notice-unrepeated", "a notice that is lost is not repeated by the waiter's poll",
		"internal/redisstore/lib/mutex_acquire_slow.lua", `if channel and queues and redis.call('ZRANGE', queue, 0, 0)[1] == token then`, `if false then`,
		"internal/redisstore", "TestFirstWaiterNotifiesTheOwner",
	},
	{
		"hand-over-hides-waiters", "the message of a hand-over does not report that others wait",
		"internal/redisstore/mutex_release.lua", `(head[2] and '1 ' or '0 ')`, `'0 '`,
		"internal/redisstore", "TestReleaseHandsOverInTurn",
	},
	{
		"yield-unowned", "a late copy of a yield gives away what is held under another token",
		"internal/redisstore/mutex_yield.lua", `if owner == old then`, `if owner then`,
		"internal/redisstore", "TestYieldRepeatedOrLate",
	},
	{
		"yield-out-of-memory", "yielding begins with a write that fails when Redis is out of memory",
		"internal/redisstore/mutex_yield.lua", `redis.call('PEXPIRE', lock, ttl) -- allowed when out of memory, and then so are the other writes`, ``,
		"internal/redisstore", "TestOutOfMemory",
	},
	{
		"go-redis-retries", "go-redis repeats commands that must be sent once",
		"internal/redisstore/script.go", `func (noRetryCmd) NoRetry() bool { return true }`, `func (noRetryCmd) NoRetry() bool { return false }`,
		"internal/redisstore", "TestCommandsAreSentOnce",
	},
	{
		"clone-retries", "the same in a cluster, which sends a copy",
		"internal/redisstore/script.go", `return noRetryCmd{c.Cmd.Clone().(*redis.Cmd)}`, `return c.Cmd.Clone()`,
		"internal/redisstore", "TestCloneOfACommandIsSentOnceToo",
	},
	{
		"script-forgotten", "a server that has forgotten the scripts does not get them again",
		"internal/redisstore/transport.go", `wantsText(err) {
		cmd = s.command`, `false {
		cmd = s.command`,
		"internal/redisstore", "TestScriptsAreSentAgainAfterAFlush",
	},
	{
		"renew-script-forgotten", "the same for renewals",
		"internal/redisstore/renewals.go", `if wantsText(err) {
			unknown`, `if false {
			unknown`,
		"internal/redisstore", "TestRenewOfMany",
	},
	{
		"oom-is-unknown", "that Redis is out of memory is not known to pass",
		"internal/redisstore/errors.go", `"OOM", "BUSY",`, `"BUSY",`,
		"internal/redisstore", "TestClassify",
	},
	{
		"no-rights-waited-out", "what no waiting can cure is waited out",
		"internal/redisstore/errors.go", `return retry.Denied(err)`, `return err`,
		"internal/redisstore", "TestClassify",
	},
	{
		"unknown-is-final", "an error that nobody knows is taken for final",
		"internal/redisstore/errors.go", `return retry.Unknown(err)`, `return retry.Permanent(err)`,
		"internal/redisstore", "TestClassify",
	},
	{
		"subscribed-unacknowledged", "the subscription is believed in before Redis has acknowledged it",
		"internal/redisstore/pubsub.go", `	for silent := false; ; {`, `	handle(&redis.Subscription{Kind: "subscribe"})
	for silent := false; ; {`,
		"internal/redisstore", "TestSubscribedMeansAcknowledged",
	},
	{
		"node-channel-only", "a hand-over on the channel of a node without subscribers is not published elsewhere",
		"internal/redisstore/lib/publish.lua", `if type(heard) ~= 'number' or heard == 0 then`, `if not name then`,
		"internal/redisstore", "TestNodeChannelThatNobodyHears",
	},
	{
		"node-channel-unused", "hand-overs are published to all nodes of a cluster",
		"internal/redisstore/node_channel.go", `return c.channel`, `return r.Channel`,
		"mutex", "TestClusterHandOversStayOnTheirNode",
	},
	{
		"node-channel-lost", "a node's channel whose connection breaks is not subscribed to again",
		"internal/redisstore/node_channel.go", `	delete(n.byAddr, addr)
`, ``,
		"mutex", "TestClusterMessages",
	},
	{
		"notice-to-all-nodes", "a token does not name the channel of its process on the node",
		"internal/lease/claim.go", `mark += q.manager.store.NodeTag(q.name.Key)`, `mark += ""`,
		"mutex", "TestClusterMessagesStayOnTheirNode",
	},
	{
		"key-channel-of-all-nodes", "changes of values, and ends of generations, are not heard on the node of their key",
		"internal/redisstore/pubsub.go", `nodes.setKey(event.Channel, subscribed)`, ``,
		"mutex", "TestClusterMessagesStayOnTheirNode",
	},
	{
		"nodes-kept", "what a node needed that has left the cluster is kept for ever",
		"internal/redisstore/transport.go", `return other.node.PoolStats().TotalConns == 0`, `return false`,
		"internal/redisstore", "TestNodesThatLeftAreForgotten",
	},
	{
		"silence-is-golden", "a subscription that has fallen silent is kept for ever",
		"internal/redisstore/pubsub.go", `|| silent:`, `|| silent && false:`,
		"internal/redisstore", "TestSilentSubscriptionIsGivenUp",
	},
}

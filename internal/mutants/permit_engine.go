package main

// permitEngine breaks what a process believes of the permits that it has.
var permitEngine = []mutant{
	{
		"lowering-unsaid", "permits that a process gives up are not given back before it ends",
		"internal/lease/capacity.go", `(c.serverWeight > c.weight || c.wanted == 0 && c.maybeQueued)`, `(c.wanted == 0 && c.maybeQueued)`,
		"internal/lease", "TestReleasesAtOnce",
	},
	{
		"debt-forgiven", "permits whose release was refused for a while stay with the process in Redis",
		"internal/lease/acquire_loop.go", `		return pendingCall{} // the next`, `		c.serverWeight, c.maybeQueued = c.weight, false
		return pendingCall{} // the next`,
		"internal/lease", "TestRefusedForAWhile",
	},
	{
		"given-up-unsaid", "an order that was given up, and may have been met, is forgotten",
		"internal/lease/capacity.go", `(c.serverWeight > c.weight || c.wanted == 0 && c.maybeQueued)`, `c.serverWeight > c.weight`,
		"internal/lease", "TestCancelledReplyLost",
	},
	{
		"part-kept", "permits that a lease gives back stay with its process until all are",
		"internal/lease/capacity.go", `} else if c.weight = use; use == 0 {`, `} else if use == 0 {
		c.weight = 0`,
		"internal/lease", "TestShrinkingCancelled",
	},
	{
		"gone-in-an-earlier-hold", "what an answer says of an earlier hold ends the present one",
		"internal/lease/capacity.go", `r.Keep > 0 && c.weight > 0 && r.Seq > c.grantSeq`, `r.Keep > 0 && c.weight > 0`,
		"internal/lease", "TestShrinkingOfEarlierHold",
	},
	{
		"window-of-an-earlier-hold", "an answer to an earlier hold's statement moves the window of the present one",
		"internal/lease/acquire_loop.go", `r.Keep > 0 && r.Seq > c.grantSeq)`, `r.Keep > 0)`,
		"internal/lease", "TestWindowOfEarlierHold",
	},
	{
		"answers-cross", "an answer that comes after a later one counts",
		"internal/lease/acquire_loop.go", `if r.Seq > c.ackedSeq {`, `if r.Seq > 0 {`,
		"internal/lease", "TestShrinkingCrossesHandOver",
	},
	{
		"order-unknown", "a message about an order that was given up is believed",
		"internal/lease/queue.go", `c.wanted > 0 && msg.WantSeq == c.wantSeq:`, `c.wanted > 0:`,
		"internal/lease", "TestSimulationSemaphore",
	},
	{
		"lost-and-granted", "a grant to a claim that has lost what it held makes up for that",
		"internal/lease/queue.go", `if weight < c.weight+grantedNow || c.weight > 0 && c.window.Remaining(now) <= 0 {`, `if false {`,
		"internal/lease", "TestEvictedAndHanded",
	},
	{
		"reader-joins-anyhow", "new readers join those of their process while a writer waits elsewhere",
		"internal/lease/capacity.go", `(fresh || c.used > 0 && !c.contended)`, `(fresh || c.used > 0)`,
		"internal/lease", "TestWriterKeepsReadersOut",
	},
	{
		"word-forgotten", "the answer to an earlier request hides that somebody has come to wait",
		"internal/lease/contention.go", `contended || c.contendedAt != 0 && c.contendedAt >= monoTimeOf(sent)`, `contended`,
		"internal/lease", "TestContentionNoticeBeforeReply",
	},
	{
		"joined-unheard", "readers are joined by a process that would not hear of a writer",
		"internal/lease/capacity.go", `		c.queue.manager.ensureNotified(c, now)
`, ``,
		"internal/lease", "TestJoinWhileListening",
	},
	{
		"more-than-is-left", "a process gives its leases more than it has",
		"internal/lease/capacity.go", `l.weight <= c.weight-c.used`, `l.weight <= c.weight`,
		"internal/lease", "TestSimulationSemaphore",
	},
	{
		"writer-keeps-all", "a writer that is followed by its own readers keeps other readers out",
		"internal/lease/capacity.go", `c.shared, c.weight = true, l.weight`, `c.shared = true`,
		"internal/lease", "TestSimulationRWMutex",
	},
	{
		"max-hold-among-others", "a lease that may not be renewed ends a TTL too late while others keep its claim",
		"internal/lease/capacity.go", `c.noteForcedEnd(now.Add(l.renewedAfter + c.ttl - held))`, `c.noteForcedEnd(now.Add(l.renewedAfter + 2*c.ttl - held))`,
		"internal/lease", "TestMaxHoldAmongOthers",
	},
	{
		"size-fails-all", "an order that is too large fails the smaller ones behind it",
		"internal/lease/acquire_loop.go", `return lease.size == c.size && lease.weight >= c.wanted`, `return true`,
		"internal/lease", "TestSizeOfOne",
	},
	{
		"asks-for-who-gave-up", "a claim goes on asking for what somebody has given up, though the next wants less",
		"internal/lease/queue.go", `|| c.wanted > 0 && !c.wants(next) {`, `{`,
		"internal/lease", "TestSimulationSemaphore",
	},
}

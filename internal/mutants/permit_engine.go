package main

// permitEngine breaks what a process believes of the permits that it has.
var permitEngine = []mutant{
	{"release-size-mismatch", "a release fails because another lease of the process asks with a wrong size", "internal/lease/claim_release.go",
		`if isSizeError(err) {`, `if false && isSizeError(err) {`, "internal/lease", "TestReleaseWithAWrongSize"},
	{"lowering-unsaid", "permits that a process gives up are not given back before it ends", "internal/lease/claim.go",
		`(c.redis.weight > c.hold.weight || c.want.weight == 0 && c.redis.maybeQueued)`, `(c.want.weight == 0 && c.redis.maybeQueued)`, "internal/lease", "TestReleasesAtOnce"},
	{"debt-forgiven", "permits whose release was refused for a while stay with the process in Redis", "internal/lease/acquire_reply.go",
		`		return pendingCall{} // the next`, `		c.redis.weight, c.redis.maybeQueued = c.hold.weight, false
		return pendingCall{} // the next`, "internal/lease", "TestShrinkIsRetriedWithRenewals"},
	{"given-up-unsaid", "an order that was given up, and may have been met, is forgotten", "internal/lease/claim.go",
		`(c.redis.weight > c.hold.weight || c.want.weight == 0 && c.redis.maybeQueued)`, `c.redis.weight > c.hold.weight`, "internal/lease", "TestCancelledReplyLost"},
	{"part-kept", "permits that a lease gives back stay with its process until all are", "internal/lease/claim.go",
		`	c.hold.weight = use
	if use == 0 {`, `	if use == 0 {
		c.hold.weight = 0`, "internal/lease", "TestShrinkingCancelled"},
	{"gone-in-an-earlier-hold", "a reply about an earlier hold ends the present one", "internal/lease/claim.go",
		`r.Keep > 0 && c.hold.weight > 0 && r.Seq > c.hold.grantSeq`, `r.Keep > 0 && c.hold.weight > 0`, "internal/lease", "TestShrinkingOfEarlierHold"},
	{"window-of-an-earlier-hold", "a reply to a request of an earlier hold moves the window of the present one", "internal/lease/acquire_reply.go",
		`r.Keep > 0 && r.Seq > c.hold.grantSeq)`, `r.Keep > 0)`, "internal/lease", "TestWindowOfEarlierHold"},
	{"answers-cross", "an answer that comes after a later one counts", "internal/lease/acquire_reply.go",
		`r.Seq > c.redis.ackedSeq {
		c.redis.ackedSeq,`, `r.Seq > 0 {
		c.redis.ackedSeq,`, "internal/lease", "TestShrinkingCrossesHandOver"},
	{"order-unknown", "a message about an order that was given up is believed", "internal/lease/messages.go",
		`c.want.weight > 0 && msg.WantSeq == c.want.seq:`, `c.want.weight > 0:`, "internal/lease", "TestSimulationSemaphore"},
	{"lost-and-granted", "a grant to a claim that has lost what it held makes up for that", "internal/lease/acquire_reply.go",
		`if g.weight < h.weight+g.grantedNow || h.weight > 0 && h.window.Remaining(now) <= 0 {`, `if false {`, "internal/lease", "TestHandOverAfterEviction"},
	{"reader-joins-anyhow", "new readers join those of their process while a writer waits elsewhere", "internal/lease/claim.go",
		`(fresh || h.used > 0 && !c.contention.present)`, `(fresh || h.used > 0)`, "internal/lease", "TestWriterKeepsReadersOut"},
	{"word-forgotten", "the answer to an earlier request hides that somebody has come to wait", "internal/lease/contention_notice.go",
		`contended || c.noticeAt != 0 && c.noticeAt >= monoTimeOf(sent)`, `contended`, "internal/lease", "TestContentionNoticeBeforeReply"},
	{"joined-unheard", "readers are joined in a process that would get no notice of a writer", "internal/lease/claim.go",
		`		c.queue.manager.ensureNotified(c, now)
`, ``, "internal/lease", "TestJoinFindsAWaitingWriter"},
	{"more-than-is-left", "a process gives its leases more than it has", "internal/lease/claim.go",
		`l.weight <= h.weight-h.used`, `l.weight <= h.weight`, "internal/lease", "TestSimulationSemaphore"},
	{"writer-keeps-all", "a writer that is followed by its own readers keeps other readers out", "internal/lease/claim.go",
		`h.shared, h.weight = true, l.weight`, `h.shared = true`, "internal/lease", "TestSimulationRWMutex"},
	{"max-hold-among-others", "a lease that may not be renewed ends a TTL too late while others keep its claim", "internal/lease/claim.go",
		`h.noteForcedEnd(now.Add(l.renewedAfter + ttl - held))`, `h.noteForcedEnd(now.Add(l.renewedAfter + 2*ttl - held))`, "internal/lease", "TestMaxHoldAmongOthers"},
	{"size-fails-all", "an order that is too large fails the smaller ones behind it", "internal/lease/acquire_reply.go",
		`return lease.size == c.want.size && lease.weight >= c.want.weight`, `return true`, "internal/lease", "TestResizeRefusesOnlyLargeWaiters"},
	{"asks-for-who-gave-up", "a claim continues to ask for a lease that has given up, although the next wants less", "internal/lease/queue.go",
		`|| c.want.weight > 0 && !c.want.isFor(next) {`, `{`, "internal/lease", "TestSimulationSemaphore"},
}

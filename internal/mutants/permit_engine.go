package main

// permitEngine breaks the permits that a process holds and requests.
var permitEngine = []mutant{
	{"release-size-mismatch", "a release fails because another lease of the process requests with a wrong size", "internal/lease/claim_release.go",
		`if isSizeError(err) {`, `if false && isSizeError(err) {`, "internal/lease", "TestReleaseWithAWrongSize"},
	{"lowering-unsent", "permits that a process no longer needs are released only at the end of its hold", "internal/lease/claim.go",
		`(c.redis.weight > c.hold.weight || c.want.weight == 0 && c.redis.maybeQueued)`, `(c.want.weight == 0 && c.redis.maybeQueued)`, "internal/lease", "TestShrinkIsRetriedWithRenewals"},
	{"debt-forgiven", "permits whose release was refused for a while stay with the process in Redis", "internal/lease/acquire_reply.go",
		`return pendingCall{} // the next`, `c.redis.weight, c.redis.maybeQueued = c.hold.weight, false; return pendingCall{} // the next`, "internal/lease", "TestShrinkIsRetriedWithRenewals"},
	{"canceled-want-forgotten", "a canceled want that may have been granted is forgotten", "internal/lease/claim.go",
		`(c.redis.weight > c.hold.weight || c.want.weight == 0 && c.redis.maybeQueued)`, `c.redis.weight > c.hold.weight`, "internal/lease", "TestCancelledReplyLost"},
	{"part-kept", "permits of a partial release stay with the process until all are released", "internal/lease/claim.go",
		`	c.hold.weight = use
	if use == 0 {`, `	if use == 0 {
		c.hold.weight = 0`, "internal/lease", "TestShrinkIsRetriedWithRenewals"},
	{"lost-in-an-earlier-hold", "a reply about an earlier hold ends the present one", "internal/lease/claim.go",
		`r.Keep > 0 && c.hold.weight > 0 && r.Seq > c.hold.grantSeq`, `r.Keep > 0 && c.hold.weight > 0`, "internal/lease", "TestShrinkingOfEarlierHold"},
	{"window-of-an-earlier-hold", "a reply to a request of an earlier hold changes the window of the present one", "internal/lease/acquire_reply.go",
		`r.Keep > 0 && r.Seq > c.hold.grantSeq)`, `r.Keep > 0)`, "internal/lease", "TestWindowOfEarlierHold"},
	{"replies-cross", "a reply that a later reply has overtaken counts", "internal/lease/acquire_reply.go",
		`r.Seq > c.redis.ackedSeq {
		c.redis.ackedSeq,`, `r.Seq > 0 {
		c.redis.ackedSeq,`, "internal/lease", "TestShrinkingCrossesHandOver"},
	{"want-unknown", "a message about a canceled want is accepted", "internal/lease/messages.go",
		`c.want.weight > 0 && msg.WantSeq == c.want.seq:`, `c.want.weight > 0:`, "internal/lease", "TestUnknownWantSeq"},
	{"lost-and-granted", "a grant hides the loss of the claim's earlier permits", "internal/lease/acquire_reply.go",
		`if g.weight < h.weight+g.grantedNow || h.weight > 0 && h.window.Remaining(now) <= 0 {`, `if false {`, "internal/lease", "TestHandOverAfterEviction"},
	{"reader-joins-anyway", "new readers join readers of their process while a writer waits elsewhere", "internal/lease/claim.go",
		`(fresh || h.used > 0 && !c.contention.present)`, `(fresh || h.used > 0)`, "internal/lease", "TestJoinFindsAWaitingWriter"},
	{"notice-forgotten", "the reply to an earlier request hides a new waiter", "internal/lease/contention_notice.go",
		`contended || c.noticeAt != 0 && c.noticeAt >= monoTimeOf(sent)`, `contended`, "internal/lease", "TestContentionNoticeBeforeReply"},
	{"joined-unsubscribed", "readers join in a process that would get no notice of a writer", "internal/lease/claim.go",
		`c.queue.manager.ensureNotified(c, now)`, ``, "internal/lease", "TestJoinFindsAWaitingWriter"},
	{"more-than-remaining", "a process grants its leases more permits than it has", "internal/lease/claim.go",
		`l.weight <= h.weight-h.used`, `l.weight <= h.weight`, "internal/lease", "TestSimulation/Semaphore"},
	{"writer-keeps-all", "a writer that is followed by readers of its process keeps other readers out", "internal/lease/claim.go",
		`h.shared, h.weight = true, l.weight`, `h.shared = true`, "internal/lease", "TestSimulation/RWMutex"},
	{"max-hold-among-others", "a lease that must not be renewed ends a TTL too late while other leases keep its claim", "internal/lease/claim.go",
		`h.noteForcedEnd(now.Add(l.renewedAfter + ttl - held))`, `h.noteForcedEnd(now.Add(l.renewedAfter + 2*ttl - held))`, "internal/lease", "TestMaxHoldAmongOthers"},
	{"size-fails-all", "a too large request fails the smaller ones behind it", "internal/lease/acquire_reply.go",
		`return lease.size == c.want.size && lease.weight >= c.want.weight`, `return true`, "internal/lease", "TestResizeRefusesOnlyLargeWaiters"},
	{"asks-for-canceled", "a claim continues to request permits for a canceled lease, although the next wants fewer", "internal/lease/queue.go",
		`|| c.want.weight > 0 && !c.want.isFor(next) {`, `{`, "internal/lease", "TestSimulation/RWMutex"},
}

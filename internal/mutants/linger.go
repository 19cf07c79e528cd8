package main

// linger breaks claims that linger after the unlock. The missing notice of a waiter is the
// mutant notice-unsent of the scripts.
var linger = []mutant{
	{"linger-unrevoked", "the contention notice does not end a linger", "internal/lease/messages.go",
		`todo = q.endIdle(c)`, ``, "internal/lease", "TestLingerIsRevoked"},
	{"linger-renewed", "a lingering claim is renewed", "internal/lease/claim.go",
		`h.nextForcedEnd = time.Time{}`, `h.nextForcedEnd, renew = time.Time{}, h.leases.head == nil`, "internal/lease", "TestLingerIsNotRenewed"},
	{"linger-same-fence", "a lease after a linger has the fence of the previous lease", "internal/lease/linger.go",
		`s.served++`, `s.served++; c.hold.fencesUsed--`, "internal/lease", "TestLingerNeedsNoRequest"},
	{"linger-past-window", "a lingering claim serves a lease after its window", "internal/lease/claim.go",
		`!h.window.Usable(now)`, `!c.idle() && !h.window.Usable(now)`, "internal/lease", "TestLingerPastTheWindow"},
	{"linger-unsubscribed", "a process lingers although it receives no notices", "internal/lease/linger.go",
		`c.needsShrink() || s.hearing != q.manager.Hearing() {`, `c.needsShrink() {`, "internal/lease", "TestLingerWithoutTheNotice"},
	{"linger-from-the-start", "a process lingers although it does not lock again soon", "internal/lease/linger.go",
		`r.unlocked == 0 || gap > first.linger()`, `r.unlocked == 0`, "internal/lease", "TestLingerBegins"},
	{"linger-comes-back", "a process lingers again right after a revocation that was not worth it", "internal/lease/linger.go",
		`r.pausedUntil = monoTimeOf(now.Add(r.pause))`, `r.pausedUntil = 0`, "internal/lease", "TestLingerBacksOff"},
	{"linger-keeps-out", "a process that locks again at once keeps other processes out beyond its time slice", "internal/lease/linger.go",
		`|| c.hold.slice.exhausted(now, c.hold.fencesUsed) {`, `{`, "internal/lease", "TestLingerWhileOthersWait"},
	{"linger-fails-tries", "a try fails because of a lingering claim", "internal/lease/acquire_reply.go",
		`(c.want.tryUntil != 0 || reply.MayLinger)`, `c.want.tryUntil != 0`, "internal/lease", "TestLingerAndTries"},
}

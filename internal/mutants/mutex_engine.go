package main

// mutexEngine breaks the trust window of a hold, its leases and the time slice.
var mutexEngine = []mutant{
	{"window-from-arrival", "the window of a hand-over starts at the message's arrival", "internal/lease/claim.go",
		`return client.NewTrustWindow(at, c.handoverTTL())`, `at = time.Now(); return client.NewTrustWindow(at, c.handoverTTL())`, "internal/lease", "TestMessageLate"},
	{"window-from-latest", "the window of a hand-over starts at the latest request, not at the one that the message names", "internal/lease/acquire_loop.go",
		`	r := s.recent[uint64(seq)%uint64(len(s.recent))]
	return r.sentAt, seq > 0 && r.seq == seq
`, `	r := s.recent[s.lastQueued()%int64(len(s.recent))]
	return r.sentAt, seq > 0
`, "internal/lease", "TestMessageLate"},
	{"number-unknown", "a message with an unknown request number is accepted", "internal/lease/acquire_loop.go",
		`seq > 0 && r.seq == seq`, `r.seq > 0`, "internal/lease", "TestMessageLate"},
	{"window-from-reply", "the window of a grant starts at the reply", "internal/lease/acquire_reply.go",
		`w := client.NewTrustWindow(sentAt, r.TTL)`, `w := client.NewTrustWindow(time.Now(), r.TTL)`, "internal/lease", "TestRoundTripLongerThanWindow"},
	{"window-from-renewal", "the window of a renewal starts at its reply", "internal/lease/claim_renewal.go",
		`c.extend(client.NewTrustWindow(sentAt, of.TTL))`, `c.extend(client.NewTrustWindow(time.Now(), of.TTL))`, "internal/lease", "TestWindowCountsFromSending"},
	{"loss-after-renewal", "the timer of the loss is set after the renewal's reply, not before the renewal is sent", "internal/client/renewer.go",
		`	r.store.Renew(renewals, func(i int) (renew bool) {`, `	r.mu.Lock()
	r.timer.Stop()
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.timerAt = time.Time{}
		r.armTimer()
		r.mu.Unlock()
	}()
	r.store.Renew(renewals, func(i int) (renew bool) {`, "internal/lease", "TestWindowCountsFromSending"},
	{"no-margin", "the window has no margin", "internal/client/trust_window.go",
		`ttl - margin, margin}`, `ttl, margin}`, "internal/client", "TestWindow"},
	{"monotonic-only", "the window uses only the monotonic clock, which stops while the machine sleeps", "internal/client/trust_window.go",
		`max(now.Sub(w.Start), time.Duration(now.UnixNano()-w.wall))`, `now.Sub(w.Start)`, "internal/client", "TestWindow"},
	{"window-shrinks", "an overtaken reply shortens the window", "internal/lease/claim.go",
		`remaining > 0 && w.Remaining(now) > remaining`, `remaining > 0 && w.Remaining(now) > 0`, "internal/lease", "TestWindowNeverShrinks"},
	{"err-trusts-timer", "Err does not check the clocks", "internal/lease/lease_held.go",
		`if l.state == leaseHeld && l.claim.hold.window.Remaining(now) <= 0 {`, `if false {`, "internal/lease", "TestWindowPassedBeforeItsTimer"},
	{"handed-on-too-late", "a claim passes to the next lease with too little time for a renewal", "internal/lease/claim.go",
		`!h.window.Usable(now)`, `h.window.Remaining(now) <= 0`, "internal/lease", "TestCanServe"},
	{"first-served-too-late", "the first lease of a grant starts after its window", "internal/lease/claim.go",
		`h.fencesUsed == 0 && h.window.Remaining(now) <= 0 || `, ``, "internal/lease", "TestCanServe"},
	{"slice-endless", "a claim stays in its process while a lease waits there", "internal/lease/claim.go",
		`h.fencesUsed < FencesPerGrant && (c.uncontended() || !h.slice.exhausted(now, h.fencesUsed))`, `h.fencesUsed < FencesPerGrant`, "internal/lease", "TestCanServe"},
	{"slice-cut-short", "a slice ends at its length, although its round would end soon", "internal/lease/timeslice.go",
		`elapsed/time.Duration(max(fencesUsed, 1)) > s.maxLength/time.Duration(s.waiters)`, `true`, "internal/lease", "TestTimeSliceServesEachWaiter"},
	{"round-cut-short", "a slice starts another round without time for it", "internal/lease/timeslice.go",
		`elapsed+elapsed/time.Duration(2*rounds) >= s.length`, `elapsed >= s.length`, "internal/lease", "TestTimeSliceServesEachWaiter"},
	{"renewed-too-often", "a lease is renewed when a third of its window has passed, more than three times per TTL", "internal/client/renewer.go",
		`(remaining+w.margin)/3`, `remaining/3`, "internal/client", "TestNextRenewal"},
	{"block-endless", "a claim serves leases after its fences are used up", "internal/lease/claim.go",
		`h.fencesUsed < FencesPerGrant && (c.uncontended() || !h.slice.exhausted(now, h.fencesUsed))`, `!h.slice.exhausted(now, h.fencesUsed)`, "internal/lease", "TestCanServe"},
	{"fence-shared", "successive leases of a claim have the same fence", "internal/lease/claim.go",
		`h.fenceBase*FencesPerGrant + min(h.fencesUsed, FencesPerGrant-1)`, `h.fenceBase*FencesPerGrant + min(h.fencesUsed, 0)`, "internal/lease", "TestSimulation/Mutex"},
	{"ttl-of-another", "a claim of a Mutex serves a lease with another TTL than its token states", "internal/lease/claim.go",
		`(l.ttl == c.ttl || l.ttl < c.ttl && c.queue.name.Kind != Mutex)`, `l.ttl <= c.ttl`, "internal/lease", "TestCanServe"},
	{"ttl-of-none", "a lease cannot share a claim with a longer TTL", "internal/lease/claim.go",
		`(l.ttl == c.ttl || l.ttl < c.ttl && c.queue.name.Kind != Mutex)`, `l.ttl == c.ttl`, "internal/lease", "TestCanServe"},
	{"window-revives", "a reply after an unnoticed end of the window extends it", "internal/lease/claim.go",
		`remaining > 0 && w.Remaining(now) > remaining`, `w.Remaining(now) > remaining`, "internal/lease", "TestEndedWindowIsNotExtended"},
	{"lease-copied", "a copy of a lease is a hold of its own", "internal/lease/lease_held.go",
		`return l.self`, `return l`, "mutex", "TestLeaseCopied/Mutex"},
	{"token-reused", "all claims of a process with one TTL have the same token", "internal/client/token.go",
		`c.serial.Add(1)`, `c.serial.Load()`, "internal/lease", "TestSimulation/Mutex"},
	{"yield-same-token", "a yielded claim is requested again under its old token", "internal/lease/queue.go",
		`yielding.redis.replaces = c.token`, `yielding.redis.replaces, yielding.token = c.token, c.token`, "internal/lease", "TestSimulation/Mutex"},
	{"renewal-late-to-all", "a refused renewal ends a later hold of its claim", "internal/lease/claim_renewal.go",
		`|| c.hold.grantSeq != grantSeq: // released since`, `: // released since`, "internal/lease", "TestRenewalOfEarlierHold"},
	{"workers-grow", "each worker that has called Redis stays idle", "internal/client/workers.go",
		`if p.idle.Add(1) > maxIdleWorkers {`, `if p.idle.Add(1) > 1000 {`, "internal/client", "TestWorkers"},
	{"workers-stay", "the workers outlive their subscription", "internal/client/subscription.go",
		`c.workers.Store(nil)`, ``, "internal/client", "TestSubscriptionLingers"},
	{"subscription-closed-at-once", "the subscription is closed although it was used a moment ago", "internal/client/subscription.go",
		`remaining := max(SubscriptionIdle, s.keep) - time.Since(s.idleSince); remaining > 0 {`, `remaining := max(SubscriptionIdle, s.keep) - time.Since(s.idleSince); remaining > SubscriptionIdle {`,
		"internal/client", "TestSubscriptionLingers"},
}

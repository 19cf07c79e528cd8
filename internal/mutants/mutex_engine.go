package main

// mutexEngine breaks when a process believes that it holds something.
var mutexEngine = []mutant{
	{
		"window-from-arrival", "the window of a hand-over counts from the message's arrival",
		"internal/lease/claim.go", `return newWindow(r.at, c.grantTTL())`, `return newWindow(time.Now(), c.grantTTL())`,
		"internal/lease", "TestMessageLate",
	},
	{
		"window-from-latest", "that of a hand-over counts from the latest request, whichever the message echoes",
		"internal/lease/claim.go", `if r := c.sent[uint64(n)%uint64(len(c.sent))]; n > 0 && r.n == n {`, `if r := c.sent[c.queued%int64(len(c.sent))]; n > 0 {`,
		"internal/lease", "TestMessageLate",
	},
	{
		"number-unknown", "a message that echoes a number which was never sent is believed",
		"internal/lease/claim.go", `n > 0 && r.n == n {`, `r.n > 0 {`,
		"internal/lease", "TestMessageWithUnknownNumber",
	},
	{
		"window-from-answer", "the window of a grant counts from the answer",
		"internal/lease/ask.go", `w := newWindow(sent, r.TTL)`, `w := newWindow(time.Now(), r.TTL)`,
		"internal/lease", "TestWindowCountsFromSending",
	},
	{
		"window-from-renewal", "that of a renewal counts from its answer",
		"internal/lease/clock.go", `c.extend(newWindow(sent, ttl))`, `c.extend(newWindow(time.Now(), ttl))`,
		"internal/lease", "TestWindowCountsFromSending",
	},
	{
		"loss-after-renewal", "the timer of the loss is set when the renewal has returned, not before it is sent",
		"internal/lease/clock.go", `	k.store.Renew(renewals, func(i int, r Renewed) { charges[i]`, `	k.mu.Lock()
	k.timer.Stop()
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		k.armed = time.Time{}
		k.arm()
		k.mu.Unlock()
	}()
	k.store.Renew(renewals, func(i int, r Renewed) { charges[i]`,
		"internal/lease", "TestWindowCountsFromSending",
	},
	{
		"no-margin", "the window has no margin",
		"internal/lease/window.go", `ttl - margin, margin}`, `ttl, margin}`,
		"internal/lease", "TestWindow",
	},
	{
		"monotonic-only", "the window heeds the monotonic clock only, which stands still while the machine sleeps",
		"internal/lease/window.go", `max(now.Sub(w.start), time.Duration(now.UnixNano()-w.wall))`, `now.Sub(w.start)`,
		"internal/lease", "TestWindow",
	},
	{
		"window-shrinks", "an answer that was overtaken moves the end of the window to an earlier time",
		"internal/lease/holding.go", `left > 0 && w.left(now) > left`, `left > 0 && w.left(now) > 0`,
		"internal/lease", "TestWindowNeverShrinks",
	},
	{
		"question-trusts-timer", "whether a lease is held is answered without a look at the clocks",
		"internal/lease/lease.go", `if l.state == granted && l.claim.trust.left(now) <= 0 {`, `if false {`,
		"internal/lease", "TestLateClock",
	},
	{
		"handed-on-too-late", "a claim passes to the next lease here when its window is over",
		"internal/lease/holding.go", `|| c.size != l.size || c.trust.left(now) <= 0 {`, `|| c.size != l.size {`,
		"internal/lease", "TestFits",
	},
	{
		"quantum-endless", "a claim stays in its process for as long as somebody there wants it",
		"internal/lease/holding.go", `c.issued < Block && !c.turn.over(now, c.issued)`, `c.issued < Block`,
		"internal/lease", "TestFits",
	},
	{
		"turn-cut-short", "a turn ends with its quantum, though others who waited would be let in soon",
		"internal/lease/quantum.go", `took/time.Duration(max(issued, 1)) > t.most/time.Duration(t.waiting)`, `true`,
		"internal/lease", "TestTurnServesWhoWaited",
	},
	{
		"round-cut-short", "a turn begins another round when there is no time for it",
		"internal/lease/quantum.go", `took+took/time.Duration(2*rounds) >= t.quantum`, `took >= t.quantum`,
		"internal/lease", "TestTurnServesWhoWaited",
	},
	{
		"renewed-too-often", "a lease is renewed when a third of its window is over, more than three times in a TTL",
		"internal/lease/keeper.go", `(left+w.margin)/3`, `left/3`,
		"internal/lease", "TestLookAfter",
	},
	{
		"block-endless", "a claim passes on when its fences have been used up",
		"internal/lease/holding.go", `c.issued < Block && !c.turn.over(now, c.issued)`, `!c.turn.over(now, c.issued)`,
		"internal/lease", "TestFits",
	},
	{
		"fence-shared", "leases that follow one another under a claim have the same fence",
		"internal/lease/holding.go", `c.base*Block + min(c.issued, Block-1)`, `c.base*Block + min(c.issued, 0)`,
		"internal/lease", "TestFencesAcrossBlocks",
	},
	{
		"ttl-of-another", "a claim of a Mutex passes to a lease with another TTL than its token states",
		"internal/lease/holding.go", `(l.ttl == c.ttl || l.ttl < c.ttl && c.line.name.Kind != Mutex)`, `l.ttl <= c.ttl`,
		"internal/lease", "TestFits",
	},
	{
		"ttl-of-none", "a lease cannot have a share of a claim that lasts longer than it",
		"internal/lease/holding.go", `(l.ttl == c.ttl || l.ttl < c.ttl && c.line.name.Kind != Mutex)`, `l.ttl == c.ttl`,
		"internal/lease", "TestFits",
	},
	{
		"window-revives", "an answer that comes when the window has passed, and nobody has looked, extends it",
		"internal/lease/holding.go", `left > 0 && w.left(now) > left`, `w.left(now) > left`,
		"internal/lease", "TestWindowEndsForGood",
	},
	{
		"lease-copied", "a copy of a lease is a hold of its own",
		"internal/lease/lease.go", `	return l.self
`, `	return l
`,
		"mutex", "TestLeaseCopied",
	},
	{
		"token-reused", "all claims of a process for one TTL have the same token",
		"internal/lease/owner.go", `k.serial.Add(1)`, `k.serial.Load()`,
		"internal/lease", "TestSimulation",
	},
	{
		"yield-same-token", "a claim that is yielded is asked for again under its old token",
		"internal/lease/line.go", `		yielding.from = c.token
`, `		yielding.from, yielding.token = c.token, c.token
`,
		"internal/lease", "TestSimulation",
	},
	{
		"renewal-late-to-all", "that a renewal was refused ends whatever its claim holds by then",
		"internal/lease/clock.go", `|| c.began != began: // released since`, `: // released since`,
		"internal/lease", "TestRenewalOfEarlierHold",
	},
	{
		"crew-grows", "each goroutine that has called Redis stays at hand",
		"internal/lease/crew.go", `if c.idle.Add(1) > atHand {`, `if c.idle.Add(1) > 1000 {`,
		"internal/lease", "TestCrew",
	},
	{
		"crew-stays", "the crew outlives its subscription",
		"internal/lease/ear.go", `		*e = ear{}
		k.crew.Store(nil)`, `		*e = ear{}`,
		"internal/lease", "TestSubscriptionLingers",
	},
	{
		"no-linger", "the subscription is closed though it has been of use a moment ago",
		"internal/lease/ear.go", `left := linger - time.Since(e.rest); left > 0 {`, `left := linger - time.Since(e.rest); left > linger {`,
		"internal/lease", "TestSubscriptionLingers",
	},
}

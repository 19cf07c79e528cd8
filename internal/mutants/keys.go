package main

// keys breaks what a Pool does for several keys at once.
var keys = []mutant{
	{
		"keys-unsorted", "several keys are taken in the order in which they are named",
		"internal/redisstore/order.go", `return cmp.Or(cmp.Compare(a.slot, b.slot), strings.Compare(a.key, b.key))`, `return 0 * cmp.Or(cmp.Compare(a.slot, b.slot), strings.Compare(a.key, b.key))`,
		"internal/redisstore", "TestInOrder",
	},
	{
		"keys-twice", "a key that is named twice is waited for while it is held",
		"internal/redisstore/order.go", `	places = slices.Compact(places)
`, ``,
		"internal/redisstore", "TestInOrder",
	},
	{
		"keys-partial", "a request for several keys that fails keeps those that it has",
		"internal/lease/group.go", `k.giveBackAll(g.ctx, append(leases, others...), again || err == ErrLocked || IsPermanent(err))`, `k.giveBackAll(g.ctx, leases[:0], again || err == ErrLocked || IsPermanent(err))`,
		"mutex", "TestPoolCancel",
	},
	{
		"keys-others-kept", "keys that a group got behind one that it waits for are kept",
		"internal/lease/group.go", `		k.giveBackAll(trial, others, true)
`, ``,
		"internal/lease", "TestWalkGroup",
	},
	{
		"keys-unawaited", "several keys are unlocked before Redis has said so",
		"internal/lease/group.go", `		wg.Wait()
	}
	if err`, `		_ = wg.Wait
	}
	if err`,
		"internal/matrix/mutex", "TestPoolReleaseLost",
	},
	{
		"keys-panic", "a panic of the client while several keys are unlocked is swallowed",
		"internal/lease/group_hold.go", `	raise(err)
`, ``,
		"mutex", "TestPanicWhileSeveralKeysAreLocked",
	},
	{
		"keys-lost-while-waiting", "a key that is lost while the next is awaited is not asked for again",
		"internal/lease/group.go", `case err != nil && !errors.Is(err, ErrLost): // a reason`, `case err != nil: // a reason`,
		"mutex", "TestPoolLossWhileWaiting",
	},
	{
		"keys-loss-untold", "the loss of one of several keys is not told",
		"internal/lease/group_hold.go", `if l.Err() == ErrLost {`, `if l.Err() == ErrLost && len(g.leases) == 0 {`,
		"mutex", "TestPoolLoss",
	},
	{
		"keys-unreceived-renewed", "several keys that nobody has received are renewed, for a minute",
		"internal/lease/member.go", `(g.mail == nil || g.mail.Received()) && (`, `(g.mail == nil || g.mail.Received() || time.Since(g.since) < time.Minute) && (`,
		"mutex", "TestPoolLockChanAbandoned",
	},
	{
		"keys-one-lost-unreceived", "when one of several keys is lost in a channel the others stay",
		"internal/lease/member.go", `if g.offered && g.mail.TakeBack() {`, `if g.offered && g.ctx.Err() != nil && g.mail.TakeBack() {`,
		"mutex", "TestPoolLockChanLost",
	},
	{
		"keys-max-hold", "several keys are renewed beyond MaxHold",
		"internal/lease/member.go", `(g.maxHold == 0 || g.since.IsZero() || time.Since(g.since) < g.maxHold)`, `(g.maxHold == 0 || g.since.IsZero() || time.Since(g.since) < 4*g.maxHold)`,
		"mutex", "TestPoolMaxHold",
	},
}

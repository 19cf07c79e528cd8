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
		"internal/lease/group.go", `k.giveBackAll(g.ctx, leases[:taken], again || err == ErrLocked || IsPermanent(err))`, `k.giveBackAll(g.ctx, leases[:0], again || err == ErrLocked || IsPermanent(err))`,
		"mutex", "TestPoolCancel",
	},
	{
		"keys-lost-while-waiting", "a key that is lost while the next is awaited is not asked for again",
		"internal/lease/group.go", `case err != nil && !errors.Is(err, ErrLost): // a reason`, `case err != nil: // a reason`,
		"mutex", "TestPoolLossWhileWaiting",
	},
	{
		"keys-loss-untold", "the loss of one of several keys is not told",
		"internal/lease/group_hold.go", `if g.leases[i].Err() == ErrLost {`, `if g.leases[i].Err() == ErrLost && i > len(g.leases) {`,
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
		"keys-late", "a joint request that was not answered may come late and give back what its token holds by then",
		"internal/lease/together.go", `		case unsure != nil:
			c.asker`, `		case unsure != nil && l.waiters.head == nil:
			c.asker`,
		"internal/matrix/mutex", "TestPoolLate",
	},
	{
		"keys-unsure", "several keys whose release was not answered count as released",
		"internal/lease/together.go", `if i < len(released) && released[i].Err == nil {`, `if c.confirmed = true; i < len(released) && released[i].Err == nil {`,
		"internal/matrix/mutex", "TestPoolReleaseLost",
	},
	{
		"keys-max-hold", "several keys are renewed beyond MaxHold",
		"internal/lease/member.go", `(g.maxHold == 0 || g.since.IsZero() || time.Since(g.since) < g.maxHold)`, `(g.maxHold == 0 || g.since.IsZero() || time.Since(g.since) < 4*g.maxHold)`,
		"mutex", "TestPoolMaxHold",
	},
}

package main

// elections breaks what an Election adds to its mutex.
var elections = []mutant{
	{"campaign-gives-up", "a candidate whose mutex was lost before its value was stored gets ErrLost", "internal/lease/term.go",
		`	case err == nil || errors.Is(err, ErrLost):`, `	case err == nil:`, "mutex", "TestCampaignAgainAfterLoss"},
	{"leader-without-value", "the value of an earlier leader is shown as that of the present holder of the mutex", "internal/lease/value_observe.go",
		`r.Value.Writer.Token != r.Holder.Token`, `false`, "mutex", "TestElectionOnUsedKeys"},
	{"observe-goes-back", "an observer is shown an earlier term after a later one", "internal/lease/value_observe.go",
		`case v.Fence < p.newest:`, `case v.Fence < 0:`, "mutex", "TestObserveNeverGoesBack"},
	{"observe-dead", "observers are not shown that nobody leads", "mutex/leader.go",
		`if o.sent = l.Number; o.sent != o.received {`, `if o.sent = l.Number; o.sent != o.received && o.sent != 0 {`, "mutex", "TestObserveDeath"},
	{"resign-silent", "observers learn of a resignation by their poll only", "internal/lease/term.go",
		`	err := t.lease.Release()
	if err == nil {`, `	err := t.lease.Release()
	if err == nil && false {`, "mutex", "TestObserveCost"},
	{"resign-clears-next", "a resignation deletes the value of the next leader", "internal/redisstore/value_clear.lua",
		`if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end`, ``, "mutex", "TestResignHandsOverByOneMessage"},
	{"lead-once", "Lead returns after a loss", "mutex/election.go",
		`if lost, err := t.lead(ctx, f); !lost {`, `if lost, err := t.lead(ctx, f); lost || !lost {`, "mutex", "TestLeadCampaignsAgainAfterOutage"},
	{"lead-wrong-ctx", "the ctx of the function that leads does not end with the term", "mutex/term.go",
		`	inner, stop := t.Context(ctx)`, `	inner, stop := context.WithCancel(ctx)`, "mutex", "TestLeadCtxEndsBeforeNextLeader"},
	{"resign-keeps-ctx", "the contexts of a term go on after it was resigned", "internal/lease/lease.go",
		`	case l.term():`, `	case false:`, "mutex", "TestTermContext"},
	{"term-value-expires", "the value of a long term expires", "internal/redisstore/mutex_renew.lua",
		`redis.call('PEXPIRE', KEYS[3], RETENTION) == 0`, `redis.call('EXISTS', KEYS[3]) == 0`, "mutex", "TestLongTermKeepsItsValue"},
	{"term-value-lost", "a leader whose value was lost is shown to nobody", "internal/lease/claim_renewal.go",
		`		if r.NoValue && c`, `		if false && c`, "mutex", "TestLostValueIsStoredAgain"},
	{"term-value-kept", "the next holder of a process keeps the value of a term that has ended", "internal/lease/lease.go",
		`		c.hold.valueMissing = nil`, ``, "mutex", "TestValueOfAnEndedTermExpires"},
}

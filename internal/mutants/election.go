package main

// elections breaks the parts of an Election beyond its mutex.
var elections = []mutant{
	{"campaign-gives-up", "a candidate that loses the mutex before its value is stored gets ErrLost", "internal/lease/term.go",
		`	case err == nil || errors.Is(err, ErrLost):`, `	case err == nil:`, "mutex", "TestCampaignAgainAfterLoss"},
	{"leader-without-value", "the value of a former leader is shown for the current holder of the mutex", "internal/lease/value_observe.go",
		`r.Value.Writer.Token != r.Holder.Token`, `false`, "mutex", "TestElectionOnUsedKeys"},
	{"observe-goes-back", "an observer shows an earlier term after a later one", "internal/lease/value_observe.go",
		`case v.Fence < p.newest:`, `case v.Fence < 0:`, "mutex", "TestObserveNeverGoesBack"},
	{"observe-dead", "observers do not report the end of the last term", "mutex/leader.go",
		`if o.sent = l.Number; o.sent != o.received {`, `if o.sent = l.Number; o.sent != o.received && o.sent != 0 {`, "mutex", "TestObserveDeath"},
	{"resign-silent", "observers learn of a resignation only by polling", "internal/lease/term.go",
		`t.clear(t.lease)`, ``, "mutex", "TestObserveCost"},
	{"resign-clears-next", "a resignation deletes the value of the next leader", "internal/redisstore/value_clear.lua",
		`if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end`, ``, "mutex", "TestObserveCost"},
	{"lead-once", "Lead returns after a loss", "mutex/election.go",
		`if lost, err := t.lead(ctx, f); !lost {`, `if lost, err := t.lead(ctx, f); lost || !lost {`, "mutex", "TestLeadCampaignsAgainAfterOutage"},
	{"lead-wrong-ctx", "the ctx of the leading function is not canceled at the end of the term", "mutex/term.go",
		`	inner, stop := t.Context(ctx)`, `	inner, stop := context.WithCancel(ctx)`, "mutex", "TestLeadCtxEndsBeforeNextLeader"},
	{"resign-keeps-ctx", "the contexts of a resigned term are not canceled", "internal/lease/lease.go",
		`	case l.term():`, `	case false:`, "mutex", "TestTermContext"},
	{"term-value-expires", "the value of a long term expires", "internal/redisstore/mutex_renew.lua",
		`redis.call('PEXPIRE', KEYS[3], RETENTION) == 0`, `redis.call('EXISTS', KEYS[3]) == 0`, "mutex", "TestValueOfATerm"},
	{"term-value-lost", "a leader whose value was lost stays invisible", "internal/lease/claim_renewal.go",
		`		if r.NoValue && c`, `		if false && c`, "mutex", "TestValueOfATerm"},
	{"term-value-kept", "the next holder of a process keeps the value of an ended term", "internal/lease/lease.go",
		`		c.hold.valueMissing = nil`, ``, "mutex", "TestValueOfATerm"},
}

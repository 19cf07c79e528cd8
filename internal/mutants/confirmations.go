package main

// confirmations breaks the confirmation of grants by replicas.
var confirmations = []mutant{
	{"unconfirmed-grant", "a grant counts although too few replicas have it", "internal/redisstore/wait_replicas.go",
		`case a.acked >= need:`, `case a.acked >= 0:`, "mutex", "TestFewerReplicasThanAsked"},
	{"unconfirmed-kept", "an unconfirmed grant is kept until its TTL", "internal/lease/confirm.go",
		`return pendingCall{claim: q.beginRelease()}`, `q.beginRelease(); return pendingCall{}`, "internal/lease", "TestUnconfirmedGrantIsReleased"},
	{"failed-before-released", "a try fails before its lock is released", "internal/lease/confirm.go",
		`c.want.confirming.err = err`, `c.want.confirming.err = err; q.failUnconfirmed(c)`, "internal/lease", "TestUnconfirmedGrantIsReleased"},
	{"unconfirmed-renewal", "an unconfirmed renewal counts", "internal/lease/claim_renewal.go",
		`TTL: c.ttl, Confirm: c.hold.confirmed, Contention: (c.notified || c.contention.signals != nil) && !c.hold.renewFailed}`, `TTL: c.ttl}; c.hold.confirmed = Confirm{}`, "internal/lease", "TestUnconfirmedRenewalDoesNotCount"},
	{"others-confirmation", "a lease that needs replicas joins an unconfirmed hold", "internal/lease/claim.go",
		`|| l.confirm.Replicas > h.confirmed.Replicas`, ``, "internal/lease", "TestUnconfirmedHoldIsConfirmedBeforeItIsShared"},
}

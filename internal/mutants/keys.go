package main

// keys breaks locks on several keys of a Pool.
var keys = []mutant{
	{"keys-unsorted", "several keys are locked in the order of the call", "internal/redisstore/lockorder.go",
		`return cmp.Or(cmp.Compare(a.slot, b.slot), strings.Compare(a.key, b.key))`, `return 0 * cmp.Or(cmp.Compare(a.slot, b.slot), strings.Compare(a.key, b.key))`,
		"internal/redisstore", "TestLockOrder"},
	{"keys-twice", "a key that is named twice waits for itself", "internal/redisstore/lockorder.go",
		`slotKeys = slices.Compact(slotKeys)`, ``, "internal/redisstore", "TestLockOrder"},
	{"keys-partial", "a failed request for several keys keeps the keys that it has", "internal/lease/multi_acquire.go",
		`ml.releaseUnwanted(ml.ctx, append(leases, others...), again`, `ml.releaseUnwanted(ml.ctx, leases[:0], again`, "mutex", "TestPoolCancel"},
	{"keys-others-kept", "keys that were granted behind a contended key are kept", "internal/lease/multi_acquire.go",
		`ml.releaseUnwanted(holdCtx, others, true)`, ``, "internal/lease", "TestMultiLeaseWaitsWithoutLaterKeys"},
	{"keys-unawaited", "the unlock of several keys returns before Redis has confirmed it", "internal/lease/multi_acquire.go",
		`wg.Wait()`, `_ = wg.Wait`, "internal/lease", "TestMultiLeaseTakesOneRoundTrip"},
	{"keys-panic", "a panic of the client during the unlock of several keys is swallowed", "internal/lease/multi.go",
		`retry.Repanic(err)`, `retry.Repanic(nil)`, "mutex", "TestPanicOfAHookReachesItsCaller/keys"},
	{"keys-lost-while-waiting", "a key that is lost while the next is awaited is not requested again", "internal/lease/multi_acquire.go",
		`case err != nil && !errors.Is(err, ErrLost): // a reason`, `case err != nil: // a reason`, "mutex", "TestPoolLossWhileWaiting"},
	{"keys-loss-unreported", "the loss of one of several keys is not reported", "internal/lease/multi.go",
		`if err := l.Err(); errors.Is(err, ErrLost) {`, `if err := l.Err(); errors.Is(err, ErrLost) && len(ml.leases) == 0 {`, "mutex", "TestLoss/keys"},
	{"keys-unreceived-renewed", "several keys that were not received are renewed for a minute", "internal/lease/multi_sink.go",
		`(ml.sink == nil || ml.sink.Received()) && (`, `(ml.sink == nil || ml.sink.Received() || time.Since(ml.grantedAt) < time.Minute) && (`, "mutex", "TestLockChanAbandoned/keys"},
	{"keys-one-lost-unreceived", "if one of several unreceived keys is lost, the others are kept", "internal/lease/multi_sink.go",
		`if ml.delivered && ml.sink.Revoke() {`, `if ml.delivered && ml.ctx.Err() != nil && ml.sink.Revoke() {`, "mutex", "TestLockChanLost/keys"},
	{"keys-max-hold", "several keys are renewed beyond MaxHold", "internal/lease/multi_sink.go",
		`(ml.maxHold == 0 || ml.grantedAt.IsZero() || time.Since(ml.grantedAt) < ml.maxHold)`, `(ml.maxHold == 0 || ml.grantedAt.IsZero() || time.Since(ml.grantedAt) < 4*ml.maxHold)`,
		"mutex", "TestMaxHold/keys"},
}

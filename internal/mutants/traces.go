package main

// traces breaks the events of a Trace.
var traces = []mutant{
	{"trace-wait-here", "Waiting is not sent for a wait for other leases of the process", "internal/lease/queue.go",
		`lease.traceWait()`, ``, "internal/lease", "TestTracePath"},
	{"trace-wait-there", "Waiting is not sent for a wait for other processes", "internal/lease/acquire_reply.go",
		`head.tracer.Waiting()`, ``, "internal/lease", "TestTraceFailed"},
	{"trace-poll", "a grant by polling is sent as immediate", "internal/lease/lease_trace.go",
		`r.Seq > max(r.WantSeq, 1) {`, `r.Seq < 0 {`, "internal/lease", "TestTracePath"},
	{"trace-shared", "a reader that joins readers of its process is sent as granted by Redis", "internal/lease/lease_trace.go",
		`c.hold.fencesUsed > 1 || c.hold.path`, `c.hold.path`, "internal/lease", "TestTracePath"},
	{"trace-unreceived", "the loss of an unreceived lease is sent as RenewFailed", "internal/lease/lease_trace.go",
		`case revoked:`, `case false:`, "internal/lease", "TestTraceLost"},
	{"trace-overdue", "the loss of several keys after MaxHold is sent as RenewFailed", "internal/lease/lease_trace.go",
		`sink.multi.maxHoldExceeded()`, `false`, "internal/lease", "TestTraceOfSeveralKeys"},
	{"trace-several", "one renewal of a process is sent once per hold", "internal/lease/lease_trace.go",
		`if seen.Add(l.tracer) {`, `if seen = nil; seen.Add(l.tracer) {`, "internal/lease", "TestTwoTracesOfAQueue"},
	{"trace-part", "each partial release is sent as the release", "internal/lease/lease_held.go",
		`if whole {`, `if true {`, "internal/lease", "TestSimulation/Semaphore"},
	{"trace-loss-at-release", "a loss that the release detects is sent as a release", "internal/trace/tracer.go",
		`if lost {`, `if false {`, "internal/lease", "TestTraceLost"},
	{"trace-ask-failed", "a failed request is not sent to the Trace", "internal/lease/acquire_reply.go",
		`c.redisError("acquire", err)`, ``, "internal/lease", "TestTraceRedisError"},
	{"trace-release-failed", "a failed release that is repeated is not sent to the Trace", "internal/lease/claim_release.go",
		`c.last.tracer.RedisError("release", err)`, ``, "internal/lease", "TestTraceRedisError"},
	{"trace-overtaken", "a release is sent while a hook of its hold runs", "internal/trace/tracer.go",
		`owned := !t.flushing`, `owned := true`, "internal/lease", "TestTraceSlow"},
	{"trace-out-of-order", "the last event is sent first", "internal/trace/tracer.go",
		`	e := t.queue[0]
	t.queue = slices.Delete(t.queue, 0, 1)
`, `	e := t.queue[len(t.queue)-1]
	t.queue = slices.Delete(t.queue, len(t.queue)-1, len(t.queue))
`, "internal/lease", "TestTraceSlow"},
	{"trace-afterwards", "events during a wait are sent after it", "internal/trace/tracer.go",
		`case <-t.wake:`, `case <-chan struct{}(nil):`, "internal/lease", "TestTraceRedisError"},
	{"trace-group-failed", "Failed is sent for the try of all keys before a wait", "internal/lease/multi_acquire.go",
		`p.Trace = withoutFailed{p.Trace}`, ``, "internal/lease", "TestTraceOfSeveralKeys"},
	{"trace-task", "the loss of a task is not sent", "internal/taskgroup/task.go",
		`t.tracer.Lost(cause)`, ``, "waitgroup", "TestTrace"},
	{"trace-context", "an undone operation is sent under a ctx that is not the caller's", "internal/retry/backlog.go",
		`context.WithoutCancel(c.ctx)`, `context.Background()`, "internal/retry", "TestBacklogRepeatsWithTheCallersValues"},
}

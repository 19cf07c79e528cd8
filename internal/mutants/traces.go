package main

// traces breaks what a Trace is told.
var traces = []mutant{
	{
		"trace-wait-here", "who waits for others of its process is not told to wait",
		"internal/lease/queue.go", `	lease.traceWait()
`, ``,
		"internal/lease", "TestTracePath",
	},
	{
		"trace-wait-there", "who waits for others elsewhere is not told to wait",
		"internal/lease/acquire_reply.go", `		head.tracer.Waiting()
`, ``,
		"internal/lease", "TestTraceFailed",
	},
	{
		"trace-poll", "what was had by asking again is told as if it had been there",
		"internal/lease/lease_trace.go", `r.Seq > max(r.WantSeq, 1) {`, `r.Seq < 0 {`,
		"internal/lease", "TestTracePath",
	},
	{
		"trace-shared", "who shares the hold of its process is told to have asked for it",
		"internal/lease/lease_trace.go", `c.hold.fencesUsed > 1 || c.hold.path`, `c.hold.path`,
		"internal/lease", "TestTracePath",
	},
	{
		"trace-unreceived", "what nobody has received is told as not renewed",
		"internal/lease/lease_trace.go", `	case revoked:
		return trace.NotReceived
`, ``,
		"internal/lease", "TestTraceLost",
	},
	{
		"trace-overdue", "what was held for too long together with other keys is told as not renewed",
		"internal/lease/lease_trace.go", `sink.multi.maxHoldExceeded()`, `false`,
		"internal/lease", "TestTraceMaxHoldOfSeveralKeys",
	},
	{
		"trace-several", "one renewal of a process is told once for each of its holds",
		"internal/lease/lease_trace.go", `if seen.Add(l.tracer) {`, `if seen = nil; seen.Add(l.tracer) {`,
		"internal/lease", "TestTraceNotBatchable",
	},
	{
		"trace-part", "each part that is given back is told as the release",
		"internal/lease/lease_held.go", `	if whole {
`, `	if true {
`,
		"internal/lease", "TestSimulationSemaphore",
	},
	{
		"trace-loss-at-release", "a loss that the release finds out is told as a release",
		"internal/trace/tracer.go", `	if lost {
`, `	if false {
`,
		"internal/lease", "TestTraceLost",
	},
	{
		"trace-ask-failed", "a request that fails is not told",
		"internal/lease/acquire_reply.go", `	c.redisError("acquire", err)
`, ``,
		"internal/lease", "TestTraceRedisError",
	},
	{
		"trace-release-failed", "a release that fails, and is repeated, is not told",
		"internal/lease/claim_release.go", `		c.last.tracer.RedisError("release", err)
`, ``,
		"internal/lease", "TestTraceRedisError",
	},
	{
		"trace-overtaken", "a release is told while a function of its hold runs",
		"internal/trace/tracer.go", `	owned := !t.flushing
`, `	owned := true
`,
		"internal/lease", "TestTraceSlow",
	},
	{
		"trace-out-of-order", "the last event is told first",
		"internal/trace/tracer.go", `	e := t.queue[0]
	t.queue = slices.Delete(t.queue, 0, 1)
`, `	e := t.queue[len(t.queue)-1]
	t.queue = slices.Delete(t.queue, len(t.queue)-1, len(t.queue))
`,
		"internal/lease", "TestTraceSlow",
	},
	{
		"trace-afterwards", "what happens while a call waits is told when it is over",
		"internal/trace/tracer.go", `		case <-t.wake:
`, `		case <-chan struct{}(nil):
`,
		"internal/lease", "TestTraceRedisError",
	},
	{
		"trace-group-failed", "who waits for a key after a try of all keys is told to have failed before",
		"internal/lease/multi_acquire.go", `		p.Trace = withoutFailed{p.Trace}
`, ``,
		"internal/lease", "TestSweepGroup",
	},
	{
		"trace-task", "a task that is lost is not told",
		"internal/taskgroup/task.go", `	t.tracer.Lost(cause)
`, ``,
		"waitgroup", "TestTrace",
	},
	{
		"trace-context", "an undone change is told under a ctx that is not the caller's",
		"internal/retry/backlog.go", `context.WithoutCancel(c.ctx)`, `context.Background()`,
		"internal/retry", "TestBacklogRepeatsWithTheCallersValues",
	},
}

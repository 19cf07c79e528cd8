package main

// traces breaks what a Trace is told.
var traces = []mutant{
	{
		"trace-wait-here", "who waits for others of its process is not told to wait",
		"internal/lease/keeper.go", `	lease.traceWait()
`, ``,
		"internal/lease", "TestTraceHow",
	},
	{
		"trace-wait-there", "who waits for others elsewhere is not told to wait",
		"internal/lease/ask.go", `		head.tracer.waiting()
`, ``,
		"internal/lease", "TestTraceFailed",
	},
	{
		"trace-poll", "what was had by asking again is told as if it had been there",
		"internal/lease/tracing.go", `r.N > max(r.Order, 1) {`, `r.N < 0 {`,
		"internal/lease", "TestTraceHow",
	},
	{
		"trace-shared", "who shares the hold of its process is told to have asked for it",
		"internal/lease/tracing.go", `c.issued > 1 || c.how`, `c.how`,
		"internal/lease", "TestTraceHow",
	},
	{
		"trace-unreceived", "what nobody has received is told as not renewed",
		"internal/lease/tracing.go", `	case back:
		return Unreceived
`, ``,
		"internal/lease", "TestTraceLost",
	},
	{
		"trace-overdue", "what was held for too long together with other keys is told as not renewed",
		"internal/lease/tracing.go", `m.group.overdue()`, `false`,
		"internal/lease", "TestTraceGroupOverdue",
	},
	{
		"trace-several", "one renewal of a process is told once for each of its holds",
		"internal/lease/tracing.go", `!slices.Contains(seen, t.trace)`, `!slices.Contains(seen[:0], t.trace)`,
		"internal/lease", "TestTraceApart",
	},
	{
		"trace-part", "each part that is given back is told as the release",
		"internal/lease/release.go", `	if whole {
`, `	if true {
`,
		"internal/lease", "TestSimulationSemaphore",
	},
	{
		"trace-loss-at-release", "a loss that the release finds out is told as a release",
		"internal/lease/tracer.go", `	if err == ErrLost {
`, `	if false {
`,
		"internal/lease", "TestTraceLost",
	},
	{
		"trace-ask-failed", "a request that fails is not told",
		"internal/lease/ask.go", `	c.redisError("ask", err)
`, ``,
		"internal/lease", "TestTraceRedisError",
	},
	{
		"trace-release-failed", "a release that fails, and is repeated, is not told",
		"internal/lease/keeper.go", `		t.redisError("release", err)
`, ``,
		"internal/lease", "TestTraceRedisError",
	},
	{
		"trace-overtaken", "a release is told while a function of its hold runs",
		"internal/lease/tracer.go", `	mine := !t.busy
`, `	mine := true
`,
		"internal/lease", "TestTraceSlow",
	},
	{
		"trace-out-of-order", "the last event is told first",
		"internal/lease/tracer.go", `	f := t.queue[0]
	t.queue = slices.Delete(t.queue, 0, 1)
`, `	f := t.queue[len(t.queue)-1]
	t.queue = slices.Delete(t.queue, len(t.queue)-1, len(t.queue))
`,
		"internal/lease", "TestTraceSlow",
	},
	{
		"trace-afterwards", "what happens while a call waits is told when it is over",
		"internal/lease/tracer.go", `		case <-t.wake:
`, `		case <-chan struct{}(nil):
`,
		"internal/lease", "TestTraceRedisError",
	},
	{
		"trace-group-failed", "who waits for a key after a try of all keys is told to have failed before",
		"internal/lease/group.go", `		quiet.Failed = nil
`, ``,
		"internal/lease", "TestWalkGroup",
	},
	{
		"trace-task", "a task that is lost is not told",
		"internal/lease/task.go", `		t.tracer.lost(why)
`, `		_ = why
`,
		"waitgroup", "TestTrace",
	},
	{
		"trace-context", "an undone change is told under a ctx that is not the caller's",
		"internal/lease/backlog.go", `context.WithoutCancel(c.ctx)`, `context.Background()`,
		"internal/lease", "TestSimulationWaitGroup",
	},
}

package main

// waitGroup breaks the wait group.
var waitGroup = []mutant{
	{"operation-id", "a repeated operation counts again", "internal/redisstore/waitgroup_update.lua",
		`if prior then
`, `if false then
`, "internal/redisstore", "TestWaitGroupRepetition"},
	{"operation-low", "a late copy of a finished operation counts", "internal/redisstore/waitgroup_update.lua",
		`if tonumber(op) <= acked_before then return {-1, generation} end`, ``, "internal/redisstore", "TestWaitGroupCopyOfAnAckedOperation"},
	{"undo-counts-nothing", "an undone operation stays counted", "internal/redisstore/waitgroup_update.lua",
		`count, undone = count - prior_arg, 1`, `undone = 1`, "internal/redisstore", "TestWaitGroupUndo"},
	{"undo-not-remembered", "a late copy of an operation that was undone before its arrival counts", "internal/redisstore/waitgroup_update.lua",
		`  record_outcome(-1)
  return {undone, found}`, `  return {undone, found}`, "internal/redisstore", "TestWaitGroupUndo"},
	{"undo-next-generation", "the undo of an operation that ended a generation changes the next one", "internal/redisstore/waitgroup_update.lua",
		`outcome == '1' and tonumber(g) == generation and (`, `outcome == '1' and (`, "internal/redisstore", "TestWaitGroupUndo"},
	{"dead-uncounted", "a task of a dead process is not counted as abandoned", "internal/redisstore/lib/waitgroup.lua",
		`    abandoned = abandoned + n
`, ``, "internal/redisstore", "TestWaitGroupOutcomes"},
	{"dead-lives", "a task without renewals keeps its generation open", "internal/redisstore/lib/waitgroup.lua",
		`local expired = redis.call('ZCOUNT', group, '(0', ms)`, `local expired = 0`, "internal/redisstore", "TestWaitGroupOutcomes"},
	{"finished-with-tasks", "a generation ends with a count of 0, although tasks are alive", "internal/redisstore/lib/waitgroup.lua",
		`state, count > 0 or task_count() > 0
`, `state, count > 0
`, "internal/redisstore", "TestWaitGroupOutcomes"},
	{"group-emptied", "the group's key is empty for a moment, and a moving slot loses it", "internal/redisstore/lib/waitgroup.lua",
		`if old then redis.call('PEXPIRE', group, GROUP_TTL) end`, `if old then redis.call('ZREM', group, old) end`, "internal/matrix/faults", "TestClusterSlotBeginsToMove"},
	{"generation-by-counter", "a generation has an earlier number after the group was lost", "internal/redisstore/lib/waitgroup.lua",
		`math.max(generation + 1, us), 0`, `generation + 1, 0`, "internal/redisstore", "TestWaitGroupAfterLoss"},
	{"since-forgotten", "generations from before the loss of the group count as successful", "internal/redisstore/lib/waitgroup.lua",
		`if not state then since = generation end`, ``, "internal/redisstore", "TestWaitGroupAfterLoss"},
	{"task-revived", "renewal revives a task that is or would be counted as abandoned", "internal/redisstore/waitgroup_renew.lua",
		`if not ends or tonumber(ends) <= ms then return 0 end`, `if not ends then return 0 end`, "internal/redisstore", "TestWaitGroupRenew"},
	{"task-clock-set-back", "a dead task lives until the server's clock catches up after it was set back", "internal/redisstore/lib/waitgroup.lua",
		`if not ttl or tonumber(last[2]) <= ms + ttl then return false end`, `if true then return false end`, "internal/redisstore", "TestWaitGroupClockSetBack"},
	{"done-of-abandoned", "Done of an abandoned task counts", "internal/redisstore/waitgroup_update.lua",
		`if redis.call('ZREM', group, arg) == 0 then return record_outcome(2) end`, `redis.call('ZREM', group, arg)`, "internal/redisstore", "TestWaitGroupOutcomes"},
	{"negative-count", "the count becomes negative", "internal/redisstore/waitgroup_update.lua",
		`if count + arg < 0 then return record_outcome(0) end`, ``, "internal/redisstore", "TestWaitGroupOutcomes"},
	{"undo-missing", "an operation whose ctx is done stays counted", "internal/taskgroup/session.go",
		`		s.undo(ctx, c)
`, `		s.ack(c.Seq)
`, "internal/taskgroup", "TestOperationUndone"},
	{"low-jumps", "operations in flight are reported as finished with a later one", "internal/taskgroup/session.go",
		`		if _, ok := s.acked.Entries[s.ackedThrough+1]; !ok {`, `		if _, ok := s.acked.Entries[s.ackedThrough+1]; !ok && s.ackedThrough >= seq {`,
		"internal/taskgroup", "TestSessionAckedThrough"},
	{"low-unsent", "Redis does not get the numbers of finished operations", "internal/taskgroup/session.go",
		`	c.AckedThrough = s.ackedThrough
`, ``, "internal/taskgroup", "TestSessionAckedThrough"},
	{"wrong-generation", "the message that another generation has ended ends a wait", "internal/taskgroup/watcher.go",
		`case x.generation == generation:`, `case x.generation != 0:`, "internal/taskgroup", "TestMessageOfAnotherGeneration"},
	{"status-too-early", "a poll that was sent before a wait decides its generation", "internal/taskgroup/watcher.go",
		`case x.minPoll >= poll:`, `case false:`, "internal/taskgroup", "TestPollBeforeWait"},
	{"change-overtakes-status", "a process that ends a generation while it waits, and starts another, waits for the new one", "internal/taskgroup/session.go",
		`before.bind(got.Found)`, `_ = before`, "internal/lease", "TestWaitThenChange"},
	{"status-during-change", "a poll that sees a new generation binds earlier waiters", "internal/taskgroup/waiter.go",
		`x.generation != 0 && x.generation <= found:`, `x.generation != 0:`, "internal/lease", "TestWaitThenChange"},
	{"status-before-bind", "a status request that does not concern a wait's generation ends the wait", "internal/taskgroup/waiter.go",
		`x.generation, x.minPoll = generation, x.watcher.polls`, `x.generation = generation`, "internal/taskgroup", "TestPollBeforeBind"},
	{"found-forgotten", "a repeated operation reports the present generation", "internal/redisstore/waitgroup_update.lua",
		`outcome, found = tonumber(outcome), tonumber(prior_found)`, `outcome = tonumber(outcome)`, "internal/redisstore", "TestWaitGroupFound"},
	{"message-before-status", "a message before the status reply that binds a wait is forgotten", "internal/taskgroup/watcher.go",
		`if x.bind(g.Number); x.generation <= w.lastFinished { // the message was faster
				w.wake()
			}`, `x.bind(g.Number)`, "internal/taskgroup", "TestMessageBeforePoll"},
	{"group-lost-unreported", "a wait for a generation of a lost group returns as if it were finished", "internal/taskgroup/watcher.go",
		`x.finish(errGroupLost)`, `x.finish(nil)`, "internal/taskgroup", "TestGroupIsLost"},
	{"task-late", "a task starts although its reply arrived after it was counted as abandoned", "internal/taskgroup/session.go",
		`c.TTL > 0 && client.NewTrustWindow(got.sentAt, c.TTL).Remaining(time.Now()) <= 0 {`, `c.TTL < 0 {`, "internal/taskgroup", "TestStartTooLate"},
	{"task-loss-unreported", "the loss of a task is not reported", "internal/taskgroup/task.go",
		`	case !r.Held:
		t.lose(trace.KeyMissing)
`, `	case !r.Held:
`, "internal/taskgroup", "TestTaskIsLost"},
	{"task-slept", "after the machine has slept, a task counts as alive until a renewal is refused", "internal/taskgroup/task.go",
		`if t.err == nil && t.window.Remaining(now) <= 0 {`, `if false {`, "internal/taskgroup", "TestTaskIsLost"},
	{"panic-is-done", "a task whose function panics counts as done", "waitgroup/task.go",
		`		_ = t.task.Abandon()`, `		_ = t.task.Done()`, "waitgroup", "TestDoPanic"},
}

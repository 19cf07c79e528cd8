package main

// cancellation breaks the start and end of waits, and the release of holds.
var cancellation = []mutant{
	{"denied-release-gives-up", "a release gives up when permissions are missing, although they may be granted again", "internal/client/release_retry.go",
		`case retry.IsPermanent(retry.UnmarkDenied(got.err)) ||`, `case retry.IsPermanent(got.err) ||`, "internal/lease", "TestDeniedRelease"},
	{"unknown-error-forever", "a call without a deadline retries an unknown error for too long", "internal/lease/queue.go",
		`q.errStreak.Exceeds(c.ttl, err)`, `q.errStreak.Exceeds(10*c.ttl, err)`, "internal/lease", "TestUnknownErrorLasts"},
	{"unknown-error-at-once", "an unknown error that alternates with others is not retried", "internal/retry/errors.go",
		`if text := err.Error(); text != s.text {`, `if text := err.Error(); s.text == "" {`, "internal/lease", "TestUnknownErrorAmongOthers"},
	{"release-error-hidden", "a waiter behind a release does not get the error that delays it", "internal/lease/claim_release.go",
		`		q.noteOutcome(c, err)
`, ``, "internal/lease", "TestTimeoutBehindARelease"},
	{"cancel-leaves-entry", "a canceled call leaves its queue entry or its grant in Redis", "internal/lease/claim_release.go",
		`	err := q.releaseToken(c, c.token, until, last)
`, `	var err error
	if c.hold.weight > 0 {
		err = q.releaseToken(c, c.token, until, last)
	}
`, "internal/lease", "TestCancelUnderWay"},
	{"cancel-release-on-done-ctx", "the release of a canceled call uses its done ctx", "internal/lease/lease.go",
		`	if todo.claim != nil {
		q.manager.Backlog.Briefly(`, `	if todo.claim != nil && ctx.Err() == nil {
		q.manager.Backlog.Briefly(`, "internal/lease", "TestCancelUnderWay"},
	{"cancel-hurried", "a canceled call does not wait while Redis is busy with other cancellations", "internal/retry/backlog.go",
		`seen, end = answered, now.Add(MaxCancelTimeout)`, `seen = answered`, "internal/lease", "TestGiveUpManyAtOnce"},
	{"cancel-cut", "a result waits no longer than a call while Redis is busy with other cancellations", "internal/lease/lease.go",
		`	return retry.MaxResultTimeout`, `	return retry.MaxCancelTimeout`, "internal/lease", "TestGiveUpManyAtOnce"},
	{"cancel-late-counts", "the process's own delay counts as silence of Redis", "internal/retry/backlog.go",
		`!now.Before(end) && !late`, `!now.Before(end) && (!late || true)`, "internal/lease", "TestGiveUpWhileLate"},
	{"late-grant-kept", "the grant of a request that was executed after its claim's end is kept", "internal/lease/claim_release.go",
		`	default:
		go q.manager.releaseStale(c)`, `	default:`, "internal/lease", "TestCancelUnderWay"},
	{"release-overtakes", "a release does not wait for the request that it undoes", "internal/lease/claim_release.go",
		`	if c.requests.inflight > 0 { // the`, `	if false { // the`, "internal/lease", "TestCancelUnderWay"},
	{"unlock-overtakes", "a release of a hold does not wait for a poll in flight", "internal/lease/claim_release.go",
		`	if c.requests.inflight > 0 {`, `	if c.requests.inflight > 0 && c.want.weight > 0 {`, "internal/lease", "TestReleaseAwaitsPoll"},
	{"undo-steals-reply", "the undo of a late reply is sent during the release, and takes its reply", "internal/lease/claim_release.go",
		`		c.releaseAgain = true
	default:`, `		go q.manager.releaseStale(c)
	default:`, "internal/lease", "TestReleaseAndLateReply"},
	{"unknown-token-kept", "a hand-over to an unknown token is kept", "internal/lease/messages.go",
		`	if msg.Seq > 0 {
		go`, `	if msg.Seq < 0 {
		go`, "internal/lease", "TestUnknownTokenIsReleased"},
	{"yielded-kept", "a yield without a reply is released under its new token only", "internal/lease/claim_release.go",
		`	if replaced != "" {
		_ =`, `	if false {
		_ =`, "internal/lease", "TestYieldLost"},
	{"repeat-is-loss", "a repeated release whose first reply was lost reports ErrLost", "internal/client/release_retry.go",
		`return got.owned || retried, nil`, `return got.owned || retried && false, nil`, "internal/lease", "TestReleaseReplyLost"},
	{"release-one-try", "a release has one attempt, which a silent connection uses up", "internal/client/release_retry.go",
		`attemptAsync(ctx, max(remaining/3, MinTTL)`, `attemptAsync(ctx, max(remaining, MinTTL)`, "internal/matrix/faults", "TestFaultUnlockSilent"},
	{"release-forever", "a release is retried forever", "internal/client/release_retry.go",
		`if remaining = time.Until(until); remaining <= 0 {`, `if remaining = time.Until(until); remaining <= -10*time.Second {`, "internal/lease", "TestReleaseUnconfirmed"},
	{"try-queues", "a try leaves a queue entry", "internal/lease/acquire_loop.go",
		`queues := c.want.tryUntil != 0 || !q.nextTries() && (`, `queues := c.want.tryUntil != 0 || (`, "internal/lease", "TestTryDoesNotQueue"},
	{"try-waits", "a try waits while the release of the previous hold is retried", "internal/lease/claim_release.go",
		`	c.queue.failTries(err)
`, ``, "internal/lease", "TestTryBehindReleasing"},
	{"try-alone", "a try fails because another try is in flight", "internal/lease/queue.go",
		`return !head.try && (c.want.headMustWait || !c.canRequestMore())`, `return true`, "internal/lease", "TestTriesAllSucceed"},
	{"try-stale-reply", "a try fails by the reply to a request that was sent before the try", "internal/lease/acquire_reply.go",
		`no && !lease.joinedLate && lease.weight`, `no && lease.weight`, "internal/lease", "TestTryAfterRelease"},
	{"try-overtaken", "a try fails by the reply to a request that a later request has overtaken", "internal/lease/acquire_reply.go",
		`!reply.Granted && r.Seq == c.requests.seq //`, `!reply.Granted //`, "internal/lease", "TestTryOvertaken"},
	{"try-late-grant", "a try is repeated while each grant arrives after its window", "internal/lease/acquire_reply.go",
		`			lease.fail(retry.ErrReplyTooLate)
`, ``, "internal/lease", "TestRoundTripLongerThanWindow"},
	{"queue-unsubscribed", "the first queue entry does not wait for the subscription", "internal/lease/acquire_reply.go",
		`		if q.manager.subscribe(c) ||`, `		if q.manager.subscribe(c); true ||`, "internal/lease", "TestQueueAwaitsSubscription"},
	{"old-master-kept", "a subscription without messages is kept while PING is answered", "internal/client/subscription.go",
		`c.subscription.missed >= c.subscription.missedLimit`, `c.subscription.missed > 1000*c.subscription.missedLimit`, "internal/lease", "TestSubscriptionToOldMaster"},
	{"old-master-group-kept", "the same when only wait groups are waited for", "internal/taskgroup/watcher.go",
		`late = w.subscribed`, `late = false`, "internal/lease", "TestWaitAndOldMaster"},
	{"replaced-forever", "a subscription is replaced repeatedly although that does not help", "internal/client/subscription.go",
		`		c.subscription.missedLimit *= 2
`, ``, "internal/lease", "TestSubscriptionToOldMaster/no_messages"},
	{"resubscribed-without-poll", "waiters do not poll after the subscription was interrupted", "internal/lease/messages.go",
		`		wake = append(wake, c)
`, ``, "internal/lease", "TestMessageLost"},
	{"subscription-open", "the subscription is never closed", "internal/client/subscription.go",
		`		s.cancel()
		*s = subscription{}`, `		*s = subscription{cancel: s.cancel}`, "internal/lease", "TestSimulation/Mutex"},
	{"message-only", "a waiter relies on the message, and does not poll", "internal/lease/acquire_reply.go",
		`		delay = q.manager.pollInterval()`, `		delay = time.Hour`, "internal/lease", "TestMessageLost"},
	{"poll-stuck", "a poll without a reply is awaited although the queue entry expires", "internal/lease/acquire_loop.go",
		`if ok && r.Enqueue && queued {`, `if false && queued {`, "internal/lease", "TestPollStuck"},
	{"polls-pile-up", "a poll without a reply is repeated without a limit", "internal/lease/acquire_loop.go",
		` && c.requests.inflight < len(c.requests.recent)`, ``, "internal/lease", "TestPollsStuck"},
	{"poll-misses-expiry", "a waiter does not poll when the owner's TTL ends", "internal/lease/acquire_reply.go",
		`if reply.Remaining >= 0 { // a dead`, `if false { // a dead`, "internal/lease", "TestDeadOwner"},
	{"unreceived-renewed", "a grant that was not received is renewed", "internal/lease/claim.go",
		`if l.received() && (`, `if (`, "internal/lease", "TestMaxHoldAmongOthers"},
	{"max-hold-ignored", "a lease is renewed beyond MaxHold", "internal/lease/claim.go",
		`(l.maxHold == 0 || held < l.maxHold)`, `(l.maxHold == 0 || held < 4*l.maxHold)`, "mutex", "TestMaxHold/Mutex"},
	{"inside-after-loss", "goroutines that share a Mutex do not exclude one another after the loss of its lease", "mutex/mutex.go",
		`		_ = l.Unlock()
		m.entered <- struct{}{}
		<-m.entered
	}`, `		m.held.Store(l)
		return
	}`, "mutex", "TestGoroutinesExcludeEachOtherAfterLoss/Mutex_then_Mutex"},
	{"inside-loss-unseen", "the holders inside a resized Weighted are checked only once", "semaphore/weighted.go",
		`s.intact != losses &&`, `s.intact == (lease.Losses{}) &&`, "semaphore", "TestAcquireAfterResizeAndLoss"},
	{"call-outlives-ctx", "a call with a done ctx waits for the reply", "internal/retry/retry.go",
		`	case <-ctx.Done():
		var none T
		return none, ErrNoAnswer
	}`, `	}`, "internal/retry", "TestRetryEnds"},
	{"wake-forgotten", "an event during a request is ignored after the request", "internal/lease/acquire_loop.go",
		`		c.requests.loop = loopSendingAgain
`, ``, "internal/lease", "TestJoinFindsAWaitingWriter"},
	{"subscribed-unannounced", "a waiter for the subscription is not woken when it is established", "internal/lease/messages.go",
		`wake, m.pendingClaims = m.pendingClaims, nil`, `m.pendingClaims = nil`, "internal/lease", "TestJoinFindsAWaitingWriter"},
	{"queue-stuck", "queued commands wait for a command without a reply", "internal/redisstore/pipeliner.go",
		`case p.batches == before:`, `case p.batches == before && false:`, "internal/redisstore", "TestCommandWithoutAReplyDelaysNoOther"},
	{"batch-unbounded", "all queued commands are sent in one pipeline", "internal/redisstore/pipeliner.go",
		`min(len(p.queue), maxBatch)`, `len(p.queue)`, "internal/redisstore", "TestBatchIsBounded"},
	{"release-dials", "a release waits for a connection as long as a dial may take", "internal/redisstore/pipeliner.go",
		`ctx, cancel := withTimer(ctx)`, `cancel := func() {}`, "internal/redisstore", "TestReleaseAwaitsAConnectionUntilItsDeadline"},
	{"renewal-dials", "a renewal waits for a connection for its pipeline", "internal/redisstore/transport.go",
		`ctx, cancel := withoutDeadline(connTimeout)`, `ctx, cancel := context.WithCancel(context.Background())`, "internal/redisstore", "TestHoldNeedsNoNewConnection"},
	{"exec-error-lost", "an error of Exec that no command has is lost", "internal/redisstore/pipeliner.go",
		`case err != nil:
		return err
	case cmd.Err()`, `case cmd.Err()`, "internal/redisstore", "TestExecErrorIsForCommandsWithoutReply"},
	{"batch-panic", "a panic in a pipeline becomes an error of each command", "internal/redisstore/pipeliner.go",
		`			err = errSendAlone
`, `			err = retry.NewPanicError(v)
`, "internal/redisstore", "TestPanicReachesTheCallerOfItsCommand"},
	{"renewals-pile-up", "a renewal is queued although one of the same hold is already queued", "internal/client/renewer.go",
		`changed, e.queued = e.queued != queued, queued`, `changed, e.queued = true, queued`, "internal/lease", "TestRenewalIsQueuedOnce"},
	{"renewal-counts-from-the-queue", "the window of a renewal starts when the renewal is queued", "internal/client/renewer.go",
		`sent[i].at = time.Now()`, `sent[i].at = now`, "internal/lease", "TestRenewalIsQueuedOnce"},
	{"retry-rush", "many holds trigger each other's renewals too often while Redis does not reply", "internal/client/renewer.go",
		`next-w.retryInterval()`, `next/2`, "internal/lease", "TestManyHoldsAreRenewedAsRarelyAsOne"},
	{"cluster-deadline", "a pipeline to a cluster has a short deadline for its replies", "internal/redisstore/transport.go",
		`withoutDeadline(connTimeout)`, `context.WithTimeout(context.Background(), connTimeout)`, "internal/redisstore", "TestPipelineOfAClusterHasNoDeadline"},
	{"silent-queue", "single renewals queue at a silent server", "internal/redisstore/renewals.go",
		`silent = err
`, `silent = nil
`, "internal/redisstore", "TestRenewalsDoNotQueueAtASilentServer"},
}

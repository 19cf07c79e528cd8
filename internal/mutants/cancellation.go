package main

// cancellation breaks how waiting begins and ends, and how a hold is given back.
var cancellation = []mutant{
	{"denied-release-gives-up", "a release gives up when the rights are missing, though they may come back", "internal/client/release_retry.go",
		`case retry.IsPermanent(retry.UnmarkDenied(got.err)) ||`, `case retry.IsPermanent(got.err) ||`, "internal/lease", "TestDeniedRelease"},
	{"unknown-error-for-ever", "an unknown error is waited out for very long by a call that nothing ends", "internal/lease/queue.go",
		`q.errStreak.Exceeds(c.ttl, err)`, `q.errStreak.Exceeds(10*c.ttl, err)`, "internal/lease", "TestUnknownErrorLasts"},
	{"unknown-error-at-once", "one that comes and goes among others is not waited out", "internal/retry/errors.go",
		`if text := err.Error(); text != s.text {`, `if text := err.Error(); s.text == "" {`, "internal/lease", "TestUnknownErrorAmongOthers"},
	{"release-error-untold", "a waiter behind a release does not get the error that delays it", "internal/lease/claim_release.go",
		`		q.noteOutcome(c, err)
`, ``, "internal/lease", "TestTimeoutBehindARelease"},
	{"withdraw-not", "a call that gives up leaves its entry, or its grant, in Redis", "internal/lease/claim_release.go",
		`	err := q.releaseToken(c, c.token, until, last)
`, `	var err error
	if c.hold.weight > 0 {
		err = q.releaseToken(c, c.token, until, last)
	}
`, "internal/lease", "TestCancelUnderWay"},
	{"give-back-on-dead-ctx", "what a caller gives up is given back under its ctx, which has ended", "internal/lease/lease.go",
		`	if todo.claim != nil {
		q.manager.Backlog.Briefly(`, `	if todo.claim != nil && ctx.Err() == nil {
		q.manager.Backlog.Briefly(`, "internal/lease", "TestCancelUnderWay"},
	{"give-up-hurried", "a call that gives up does not wait while Redis is busy with others that were given up", "internal/retry/backlog.go",
		`seen, end = answered, now.Add(MaxCancelTimeout)`, `seen = answered`, "internal/lease", "TestGiveUpManyAtOnce"},
	{"give-up-cut", "a result waits no longer than a call while Redis is busy with others that were given up", "internal/lease/lease.go",
		`	return retry.MaxResultTimeout`, `	return retry.MaxCancelTimeout`, "internal/lease", "TestGiveUpManyAtOnce"},
	{"give-up-late-counts", "what a process is late itself counts as Redis' silence", "internal/retry/backlog.go",
		`!now.Before(end) && !late`, `!now.Before(end) && (!late || true)`, "internal/lease", "TestGiveUpWhileLate"},
	{"late-answer-kept", "what a request made that was executed after its claim's end stays", "internal/lease/claim_release.go",
		`	default:
		go q.manager.releaseStale(c)`, `	default:`, "internal/lease", "TestCancelUnderWay"},
	{"release-overtakes", "a release does not wait for the request that it undoes", "internal/lease/claim_release.go",
		`	if c.requests.inflight > 0 { // the`, `	if false { // the`, "internal/lease", "TestCancelUnderWay"},
	{"unlock-overtakes", "a release of what was held does not wait for a poll under way", "internal/lease/claim_release.go",
		`	if c.requests.inflight > 0 {`, `	if c.requests.inflight > 0 && c.want.weight > 0 {`, "internal/lease", "TestReleaseAwaitsPoll"},
	{"undo-steals-answer", "what undoes a late answer is sent while the release is under way, and takes its answer", "internal/lease/claim_release.go",
		`		c.releaseAgain = true
	default:`, `		go q.manager.releaseStale(c)
	default:`, "internal/lease", "TestReleaseAndLateReply"},
	{"stranger-kept", "what is handed to a token that nobody knows any more is kept", "internal/lease/messages.go",
		`	if msg.Seq > 0 {
		go`, `	if msg.Seq < 0 {
		go`, "internal/lease", "TestUnknownTokenIsReleased"},
	{"yielded-kept", "a yield whose answer was lost is given up under its new token alone", "internal/lease/claim_release.go",
		`	if replaced != "" {
		_ =`, `	if false {
		_ =`, "internal/lease", "TestYieldLost"},
	{"repeat-is-loss", "a release whose reply was lost reports, when it is repeated, that the lock was lost", "internal/client/release_retry.go",
		`return got.owned || retried, nil`, `return got.owned || retried && false, nil`, "internal/lease", "TestReleaseReplyLost"},
	{"release-one-try", "a release has one attempt, which a silent connection takes", "internal/client/release_retry.go",
		`attemptAsync(ctx, max(remaining/3, MinTTL)`, `attemptAsync(ctx, max(remaining, MinTTL)`, "internal/matrix/mutex", "TestFaultUnlockSilent"},
	{"release-for-ever", "a release is tried for ever", "internal/client/release_retry.go",
		`if remaining = time.Until(until); remaining <= 0 {`, `if remaining = time.Until(until); remaining <= -10*time.Second {`, "internal/lease", "TestReleaseUnconfirmed"},
	{"try-queues", "a try leaves an entry behind", "internal/lease/acquire_loop.go",
		`queues := c.want.tryUntil != 0 || !q.nextTries() && (`, `queues := c.want.tryUntil != 0 || (`, "internal/lease", "TestTryDoesNotQueue"},
	{"try-waits", "a try waits for as long as the release of the hold before it is retried", "internal/lease/claim_release.go",
		`	c.queue.failTries(err)
`, ``, "internal/lease", "TestTryBehindReleasing"},
	{"try-alone", "a try fails because another one is under way", "internal/lease/queue.go",
		`return !head.try && (c.want.headMustWait || !c.canRequestMore())`, `return true`, "internal/lease", "TestTriesAllSucceed"},
	{"try-stale-answer", "a try fails by the answer to a request that was sent before it began", "internal/lease/acquire_reply.go",
		`no && !lease.joinedLate && lease.weight`, `no && lease.weight`, "internal/lease", "TestTryAfterRelease"},
	{"try-overtaken", "a try fails by the reply to a request that a later one has overtaken", "internal/lease/acquire_reply.go",
		`!reply.Granted && r.Seq == c.requests.seq //`, `!reply.Granted //`, "internal/lease", "TestTryOvertaken"},
	{"try-late-grant", "a try is repeated while each grant comes when its window has passed", "internal/lease/acquire_reply.go",
		`			lease.fail(retry.ErrReplyTooLate)
`, ``, "internal/lease", "TestRoundTripLongerThanWindow"},
	{"queue-unheard", "the first queue entry does not await the subscription", "internal/lease/acquire_reply.go",
		`		if q.manager.subscribe(c) ||`, `		if q.manager.subscribe(c); true ||`, "internal/lease", "TestQueueAwaitsSubscription"},
	{"old-master-kept", "a subscription that brings nothing is kept for as long as PING is answered", "internal/client/subscription.go",
		`c.subscription.missed >= c.subscription.missedLimit`, `c.subscription.missed > 1000*c.subscription.missedLimit`, "internal/lease", "TestSubscriptionToOldMaster"},
	{"old-master-round-kept", "the same where only wait groups are waited for", "internal/taskgroup/watcher.go",
		`late = w.subscribed`, `late = false`, "internal/lease", "TestWaitAndOldMaster"},
	{"replaced-for-ever", "a subscription is replaced again and again though that does not help", "internal/client/subscription.go",
		`		c.subscription.missedLimit *= 2
`, ``, "internal/lease", "TestNothingPublished"},
	{"resubscribed-unasked", "what was published while the subscription was broken is not asked for", "internal/lease/messages.go",
		`		wake = append(wake, c)
`, ``, "internal/lease", "TestMessageLost"},
	{"ear-open", "the subscription is never closed", "internal/client/subscription.go",
		`		s.cancel()
		*s = subscription{}`, `		*s = subscription{cancel: s.cancel}`, "internal/lease", "TestSimulation"},
	{"message-only", "a waiter relies on the message, and does not poll", "internal/lease/acquire_reply.go",
		`		delay = q.manager.pollInterval()`, `		delay = time.Hour`, "internal/lease", "TestMessageLost"},
	{"poll-stuck", "a poll that has no answer is waited for, though the entry in the queue dies meanwhile", "internal/lease/acquire_loop.go",
		`if ok && r.Enqueue && queued {`, `if false && queued {`, "internal/lease", "TestPollStuck"},
	{"polls-pile-up", "a poll that has no answer is sent again for ever", "internal/lease/acquire_loop.go",
		` && c.requests.inflight < len(c.requests.recent)`, ``, "internal/lease", "TestPollsStuck"},
	{"poll-misses-expiry", "a waiter does not poll when the owner's TTL ends", "internal/lease/acquire_reply.go",
		`if reply.Remaining >= 0 { // a dead`, `if false { // a dead`, "internal/lease", "TestDeadOwner"},
	{"unreceived-renewed", "a grant that nobody has received is renewed", "internal/lease/claim.go",
		`if l.received() && (`, `if (`, "internal/lease", "TestUnreceivedGrantEndsThoughAnotherWaits"},
	{"max-hold-ignored", "a lease is renewed beyond MaxHold", "internal/lease/claim.go",
		`(l.maxHold == 0 || held < l.maxHold)`, `(l.maxHold == 0 || held < 4*l.maxHold)`, "mutex", "TestMaxHold/Mutex"},
	{"inside-after-loss", "goroutines that share a Mutex do not exclude one another once its lease was lost", "mutex/mutex.go",
		`		_ = l.Unlock()
		m.entered <- struct{}{}
		<-m.entered
	}`, `		m.held.Store(l)
		return
	}`, "mutex", "TestGoroutinesExcludeEachOtherAfterLoss/Mutex_then_Mutex"},
	{"inside-loss-unseen", "the holders inside a resized Weighted are checked once only", "semaphore/weighted.go",
		`s.intact != losses &&`, `s.intact == (lease.Losses{}) &&`, "semaphore", "TestAcquireAfterResizeAndLoss"},
	{"call-outlives-ctx", "a call whose ctx has ended waits for the answer", "internal/retry/retry.go",
		`	case <-ctx.Done():
		var none T
		return none, ErrNoAnswer
	}`, `	}`, "internal/retry", "TestRetryEnds"},
	{"nudge-forgotten", "what happens while a request is under way is not looked at after it", "internal/lease/acquire_loop.go",
		`		c.requests.loop = loopSendingAgain
`, ``, "internal/lease", "TestJoinFindsAWaitingWriter"},
	{"clear-untold", "a waiter for the subscription is not woken when there is one", "internal/lease/messages.go",
		`wake, m.pendingClaims = m.pendingClaims, nil`, `m.pendingClaims = nil`, "internal/lease", "TestJoinFindsAWaitingWriter"},
	{"queue-stuck", "queued commands wait for one that gets no reply", "internal/redisstore/pipeliner.go",
		`case p.batches == before:`, `case p.batches == before && false:`, "internal/redisstore", "TestCommandWithoutAReplyDelaysNoOther"},
	{"batch-unbounded", "all queued commands are sent in one pipeline, however many", "internal/redisstore/pipeliner.go",
		`min(len(p.queue), maxBatch)`, `len(p.queue)`, "internal/redisstore", "TestBatchIsBounded"},
	{"release-dials", "a release waits for a connection for as long as a dial may take", "internal/redisstore/pipeliner.go",
		`ctx, cancel := withTimer(ctx)`, `cancel := func() {}`, "internal/redisstore", "TestReleaseAwaitsAConnectionUntilItsDeadline"},
	{"renewal-dials", "a renewal waits for a connection of its pipeline", "internal/redisstore/transport.go",
		`ctx, cancel := withoutDeadline(connTimeout)`, `ctx, cancel := context.WithCancel(context.Background())`, "internal/redisstore", "TestHoldNeedsNoNewConnection"},
	{"exec-error-lost", "an error of Exec that no command carries is lost", "internal/redisstore/pipeliner.go",
		`case err != nil:
		return err
	case cmd.Err()`, `case cmd.Err()`, "internal/redisstore", "TestExecErrorIsForCommandsWithoutReply"},
	{"batch-panic", "a panic in a pipeline becomes an error of each of its commands", "internal/redisstore/pipeliner.go",
		`			err = errSendAlone
`, `			err = retry.NewPanicError(v)
`, "internal/redisstore", "TestPanicReachesTheCallerOfItsCommand"},
	{"renewals-pile-up", "a renewal is queued although one of the same hold is queued already", "internal/client/renewer.go",
		`changed, e.queued = e.queued != queued, queued`, `changed, e.queued = true, queued`, "internal/lease", "TestRenewalIsQueuedOnce"},
	{"renewal-counts-from-the-queue", "the window of a renewal counts from when it is queued", "internal/client/renewer.go",
		`sent[i].at = time.Now()`, `sent[i].at = now`, "internal/lease", "TestRenewalIsQueuedOnce"},
	{"retry-rush", "while Redis does not answer, many holds have one another renewed ever sooner", "internal/client/renewer.go",
		`next-w.retryInterval()`, `next/2`, "internal/lease", "TestManyHoldsAreRenewedAsRarelyAsOne"},
	{"cluster-deadline", "a pipeline of a cluster must have its replies in a moment", "internal/redisstore/transport.go",
		`withoutDeadline(connTimeout)`, `context.WithTimeout(context.Background(), connTimeout)`, "internal/redisstore", "TestPipelineOfAClusterHasNoDeadline"},
	{"silent-queue", "renewals that are sent by themselves queue at a server that is silent", "internal/redisstore/renewals.go",
		`silent = err
`, `silent = nil
`, "internal/redisstore", "TestRenewalsDoNotQueueAtASilentServer"},
}

package lease

import (
	"context"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// maxBatchWaiters is the number of waiters of a process for which one request takes permits.
const maxBatchWaiters = 64

// requestLoop sends requests for what the claim wants until that is granted or given up, or until the
// next request must wait: a timer, or whatever wakes the claim, then calls requestLoop again. One
// goroutine runs it for each key, however many leases wait here.
func (q *keyQueue) requestLoop(c *claim) {
	for q.requestOnce(c) {
	}
}

// requestOnce sends one request for what the claim wants and handles its reply. It reports whether
// the next one must be sent at once.
func (q *keyQueue) requestOnce(c *claim) (again bool) {
	q.mu.Lock()
	queued := c.redis.maybeQueued
	r, ctx, sent, ok := q.prepareRequest(c)
	q.mu.Unlock()
	if ok && r.Enqueue && queued {
		defer q.watchPoll(c, r.Seq).Stop()
	}
	return ok && q.sendRequest(ctx, c, r, sent)
}

// requestInline sends the first request of a claim on the goroutine of its caller, so that no other
// goroutine has to start for it. If no reply comes for milliseconds, the caller may have to return:
// another goroutine then asks again.
func (q *keyQueue) requestInline(ctx context.Context, c *claim) {
	q.mu.Lock()
	r, loopCtx, sent, ok := q.prepareRequest(c)
	q.mu.Unlock()
	if !ok {
		return
	}
	r.Prompt = ctx.Done() != nil
	reply, err := q.manager.store.Acquire(ctx, r)
	if err == retry.ErrNoAnswer && q.requestAgain(loopCtx, c) {
		return
	}
	if q.finishRequest(c, r, reply, err, sent) {
		q.manager.Async(func() { q.requestLoop(c) })
	}
}

// requestAgain has another goroutine ask again after a request without a reply, unless the outcome is
// known by now. A request is always under way, so that a release waits.
func (q *keyQueue) requestAgain(ctx context.Context, c *claim) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !c.asks() {
		return false
	}
	c.redisError("acquire", retry.ErrNoAnswer)
	c.redis.maybeQueued = true
	r, _, sent, _ := q.prepareRequest(c)
	q.requestReturned(c, r)
	q.manager.Async(func() {
		if q.sendRequest(ctx, c, r, sent) {
			q.requestLoop(c)
		}
	})
	return true
}

// prepareRequest returns the next request of a claim, if it still wants something, and the ctx to send
// it with: a ctx that never ends, with the caller's values if only one waits. The queue is locked.
func (q *keyQueue) prepareRequest(c *claim) (r Request, ctx context.Context, sent time.Time, ok bool) {
	if !c.asks() {
		c.requests.loop = loopStopped
		return Request{}, nil, time.Time{}, false
	}
	var value *ValueReader
	ctx = context.Background()
	if q.waiters.n == 1 {
		ctx, value = &q.waiters.head.caller, q.waiters.head.caller.valueReader()
	}
	sent = time.Now()
	c.requests.loop = loopSending
	r = q.newRequest(c, sent)
	r.Value = value
	c.requests.currentSeq = r.Seq
	return r, ctx, sent, true
}

// A callerCtx is the ctx of a request that is sent on behalf of one caller: it has the values of that
// caller's ctx, and does not end with it.
type callerCtx struct{ parent context.Context }

func (*callerCtx) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }
func (*callerCtx) Done() <-chan struct{}                   { return nil }
func (*callerCtx) Err() error                              { return nil }
func (c *callerCtx) Value(key any) any                     { return c.parent.Value(key) }

// A valueCtx is the ctx of a caller that reads the value beside the mutex. Few callers do, so a lease
// has no field for their ValueReader.
type valueCtx struct {
	context.Context
	reader *ValueReader
}

// valueReader returns the ValueReader of the caller, or nil.
func (c *callerCtx) valueReader() *ValueReader {
	v, _ := c.parent.(valueCtx)
	return v.reader
}

// sendRequest sends a request and handles its reply, as requestOnce does.
func (q *keyQueue) sendRequest(ctx context.Context, c *claim, r Request, sent time.Time) (again bool) {
	reply, err := q.manager.store.Acquire(ctx, r)
	return q.finishRequest(c, r, reply, err, sent)
}

// watchPoll sends another poll, on another connection, if the poll seq gets no reply in
// time: its connection may be dead, and the queue entry must not expire meanwhile. The
// first reply counts.
func (q *keyQueue) watchPoll(c *claim, seq int64) *time.Timer {
	return time.AfterFunc(MaxPollInterval, func() { q.pollAgain(c, seq) })
}

func (q *keyQueue) pollAgain(c *claim, seq int64) {
	q.mu.Lock()
	stuck := c.requests.loop.sending() && c.requests.currentSeq == seq && c.requests.inflight < len(c.requests.recent)
	if stuck {
		c.requests.loop, c.requests.currentSeq = loopPending, 0
	}
	q.mu.Unlock()
	if stuck {
		q.requestLoop(c)
	}
}

// newRequest returns the next request of a claim. It counts as under way from now on.
func (q *keyQueue) newRequest(c *claim, now time.Time) Request {
	queues := c.want.tryUntil != 0 || !q.nextTries() && (c.want.alwaysQueue || q.manager.Subscribed())
	r := c.nextRequest(c.want.weight > 0 && queues, now)
	if c.want.weight > 0 && q.name.Kind == Semaphore {
		r.Extra = max(0, q.waiters.weight(maxBatchWaiters)-c.want.weight)
	}
	if r.Enqueue {
		q.manager.register(c)
	}
	if r.Want > 0 {
		c.requests.inflight++
	}
	return r
}

// requestReturned notes that a request is no longer under way.
func (q *keyQueue) requestReturned(c *claim, r Request) {
	if r.Want == 0 { // it was not counted
		return
	}
	if c.requests.inflight--; c.requests.inflight == 0 {
		c.proceed()
	}
}

// scheduleRequest sets the timer for the next request.
func (c *claim) scheduleRequest(delay time.Duration) {
	if c.requests.timer == nil {
		c.requests.timer = time.AfterFunc(delay, func() { c.queue.requestLoop(c) })
		return
	}
	c.requests.timer.Reset(delay)
}

// wake makes a claim that waits send its next request now, or stop if it wants nothing any more:
// something has changed.
func (c *claim) wake() {
	switch {
	case c.requests.loop.sending():
		c.requests.loop = loopSendingAgain
	case c.requests.loop == loopStopped || c.requests.timer == nil || !c.requests.timer.Stop(): // or it is about to look by itself
	case c.asks():
		c.queue.manager.Async(func() { c.queue.requestLoop(c) })
	default:
		c.requests.loop = loopStopped
	}
}

// requests are the requests of one claim. They are numbered, so that Redis recognizes one that a
// later one has overtaken. A hand-over states the number of the last one that Redis had executed: the
// window counts from it.
type requests struct {
	loop       loopState
	seq        int64           // number of the last request
	currentSeq int64           // number of the request whose reply is awaited
	recent     [4]sentRequest  // the last queueing ones, each at its number modulo 4
	inflight   int             // requests for permits that are under way
	timer      *time.Timer     // sends the next request; nil until one has waited
	backoff    backoff.BackOff // nil unless Redis fails, or the owner is not ours and sends no message
}

// loopState is what keyQueue.requestLoop does for a claim.
type loopState uint8

const (
	loopStopped      loopState = iota
	loopPending                // a request follows: when the timer fires, or at once
	loopSending                // a request is under way
	loopSendingAgain           // and another must follow it at once
)

func (s loopState) sending() bool { return s >= loopSending }

type sentRequest struct {
	seq    int64
	sentAt time.Time
}

// next numbers the next request, sent at now.
func (s *requests) next(queues bool, now time.Time) (seq int64) {
	s.seq++
	if queues {
		s.recent[s.seq%int64(len(s.recent))] = sentRequest{s.seq, now}
	}
	return s.seq
}

// sentAt returns when request seq was sent, and false if it is not one of the last few that
// queued. More than one is kept, because a request may be under way for long: the hand-over that
// comes meanwhile names an earlier one.
func (s *requests) sentAt(seq int64) (at time.Time, ok bool) {
	r := s.recent[uint64(seq)%uint64(len(s.recent))]
	return r.sentAt, seq > 0 && r.seq == seq
}

// queuedBefore reports whether an earlier request than r may have left an entry.
func (s *requests) queuedBefore(r Request) bool {
	return slices.ContainsFunc(s.recent[:], func(s sentRequest) bool { return s.seq > 0 && s.seq < r.Seq })
}

// lastQueued returns the number of the last request that queued, 0 if none has.
func (s *requests) lastQueued() (seq int64) {
	for _, r := range s.recent {
		seq = max(seq, r.seq)
	}
	return seq
}

// retryDelay returns the time until the next request if no message will come.
func (s *requests) retryDelay() time.Duration {
	if s.backoff == nil {
		s.backoff = retry.NewBackoff(10*time.Millisecond, 0.5)
	}
	return s.backoff.NextBackOff()
}

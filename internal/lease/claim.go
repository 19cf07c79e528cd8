package lease

import (
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// loopState is what keyQueue.requestLoop does for a claim.
type loopState uint8

const (
	loopStopped      loopState = iota
	loopPaused                 // a request follows: when requestTimer fires, or at once
	loopSending                // a request is under way
	loopSendingAgain           // and another must follow it at once
)

func (s loopState) sending() bool { return s >= loopSending }

type claimState uint8

const (
	claimActive    claimState = iota
	claimDraining             // waits for the requests under way, so that its release does not overtake them
	claimReleasing            // keyQueue.finishRelease gives it back
	claimClosed               // its queue has no claim, or another one
)

// A claim is what this process awaits and holds in Redis on one key: weight
// permits, of which the leases of the claim have used so many, and want more that
// it asks for. A Mutex has one permit, so that its claim asks or holds; that of a
// semaphore can do both. What changes is guarded by the mutex of its queue, but
// for the last fields.
type claim struct {
	queue        *keyQueue
	token        string
	ttl          time.Duration
	size         int64  // of the semaphore, as its leases state it
	notified     bool   // its token asks for a notice when others wait
	releaseAgain bool   // a request has returned that may have been executed after the release
	path         string // it came to what it holds
	// last is the lease that has ended last, or for which the claim was made. A release carries
	// the values of its ctx. It is fixed when state is not claimActive.
	last *Lease

	// Requesting, while wanted is not 0.
	wanted       int64
	wantSeq      int64  // number of the first request for them; 0 for a Mutex
	confirming   *grant // what Redis has granted of them, and no replica has confirmed yet
	wantShared   bool   // they are to be shared
	headMustWait bool   // the answer to its last request was no
	alwaysQueue  bool   // queues, whether hand-overs can be heard or not
	loop         loopState
	maybeQueued  bool     // Redis may have an entry, or a grant that we have not heard of
	currentSeq   int64    // number of the request whose answer is waited for
	tryUntil     monoTime // a try waits until then for a claim that may linger; 0 if it has met none
	requestTimer *time.Timer
	replaces     string
	seq          int64           // number of the last request
	recentSends  [4]sentRequest  // the last queueing ones, each at its number modulo 4
	inflight     int             // requests for permits that are under way
	backoff      backoff.BackOff // nil unless Redis fails, or an owner that is not ours will not tell

	// Holding, while weight is not 0.
	weight        int64
	serverWeight  int64      // what Redis may think we hold: never less than it does
	ackedSeq      int64      // number of the request that serverWeight is by
	shared        bool       // each lease has all of it
	contended     bool       // others wait, as far as is known
	renewFailed   bool       // the last renewal got no reply: the next does not ask for contention
	confirmed     Confirm    // how weight has been confirmed
	confirm       Confirm    // of what is wanted
	state         claimState // of all of it, and here to save space
	window        client.TrustWindow
	grantSeq      int64 // number of the last request before the hold
	slice         timeSlice
	fenceBase     int64 // of its fences
	fencesUsed    int64 // fences given so far
	used          int64
	leases        list
	nextForcedEnd time.Time // when the first of them may have to be ended alone; zero for never

	// Contention by other processes.
	contendedAt monoTime                     // when a message last said so, or 0
	linger      *lingering                   // nil if it may not linger
	signals     map[*Lease]*contentionSignal // of leases that want to know; nil until one asks

	// While releasing.
	proceedNow chan struct{} // closed to end awaitProceed; nil if nobody is in it

	// Guarded by the mutex of the manager.
	client.TimerEntry
}

type sentRequest struct {
	seq    int64
	sentAt time.Time
}

// newClaim makes a claim for the first lease that waits. It may take the place of one that
// yields.
func newClaim(q *keyQueue, first *Lease, yields bool) *claim {
	c := &claim{queue: q, last: first, linger: q.newLingering(first, yields)}
	var mark byte
	if c.linger != nil {
		mark, c.notified = lingerMark, true
	} else if first.notify() {
		mark, c.notified = noticeMark, true
	}
	c.token = q.manager.NewToken(first.ttl, first.label, mark)
	if c.setWant(first); c.notified {
		q.manager.register(c)
		q.manager.subscribe(nil)
	}
	return c
}

// setWant makes the claim want what a lease needs.
func (c *claim) setWant(l *Lease) {
	c.wanted, c.wantShared, c.size, c.alwaysQueue = l.weight, l.shared, l.size, false
	c.headMustWait, c.confirming, c.tryUntil = false, nil, 0
	if c.weight == 0 || l.confirm.Replicas > c.confirm.Replicas {
		c.confirm = l.confirm
	}
	if c.queue.name.Kind != Mutex {
		c.wantSeq = c.seq + 1
	}
	if c.weight == 0 || l.ttl > c.ttl { // never less for those who hold already
		c.ttl = l.ttl
	}
}

// wants reports whether what the claim wants is what the lease needs. It is not
// if that which it was for has given up: something larger may be out of reach
// while this one would fit.
func (c *claim) wants(l *Lease) bool {
	return c.wanted == l.weight && c.wantShared == l.shared && c.size == l.size
}

// retryDelay is after how long to ask again when nobody will tell us.
func (c *claim) retryDelay() time.Duration {
	if c.backoff == nil {
		c.backoff = retry.NewBackoff(10*time.Millisecond, 0.5)
	}
	return c.backoff.NextBackOff()
}

// nextRequest returns the next request to send. They are numbered, so that Redis
// knows one that has been overtaken, and so that a hand-over can say which of them
// Redis had seen: the window counts from it.
func (c *claim) nextRequest(queue bool, now time.Time) Request {
	c.seq++
	if queue {
		c.recentSends[c.seq%int64(len(c.recentSends))] = sentRequest{c.seq, now}
		c.maybeQueued = true
	}
	return Request{
		Name: c.queue.name, Token: c.token, Replaces: c.replaces, TTL: c.ttl, HandoverTTL: c.handoverTTL(), Seq: c.seq, Enqueue: queue, Channel: c.queue.manager.Channel(),
		Keep: c.weight, Want: c.wanted, WantSeq: c.wantSeq, Size: c.size, WantShared: c.wantShared, HeldShared: c.shared,
	}
}

// queuedBefore reports whether an earlier request than r may have left an entry.
func (c *claim) queuedBefore(r Request) bool {
	return slices.ContainsFunc(c.recentSends[:], func(s sentRequest) bool { return s.seq > 0 && s.seq < r.Seq })
}

// lastQueued returns the number of the last request that queued, 0 if none has.
func (c *claim) lastQueued() (seq int64) {
	for _, s := range c.recentSends {
		seq = max(seq, s.seq)
	}
	return seq
}

// handoverWindow returns the window of a hand-over that followed request n. It is empty
// if n is not one of the last few: then its window would have passed.
func (c *claim) handoverWindow(seq int64) client.TrustWindow {
	if r := c.recentSends[uint64(seq)%uint64(len(c.recentSends))]; seq > 0 && r.seq == seq {
		return client.NewTrustWindow(r.sentAt, c.handoverTTL())
	}
	return client.TrustWindow{}
}

// handoverTTL is what a hand-over gives: long enough for the message and a renewal,
// short enough that a dead waiter does not keep the others out for long.
func (c *claim) handoverTTL() time.Duration { return min(c.ttl, 3*MaxPollInterval) }

// usable reports whether a hand-over may be believed for what is left of
// its window: not the very end of it, where a hold would be lost as it begins.
func (c *claim) usable(remaining time.Duration) bool { return remaining >= c.handoverTTL()/3 }

// maxLifetime is the longest that anything a request makes in Redis can last.
func (c *claim) maxLifetime() time.Duration { return max(c.ttl, WaiterTTL) }

// scheduleRequest sets when the claim asks again.
func (c *claim) scheduleRequest(delay time.Duration) {
	if c.requestTimer == nil {
		c.requestTimer = time.AfterFunc(delay, func() { c.queue.requestLoop(c) })
		return
	}
	c.requestTimer.Reset(delay)
}

// wake makes a claim that waits to ask again do so now, or stop if it wants nothing
// any more: something has changed.
func (c *claim) wake() {
	switch {
	case c.loop.sending():
		c.loop = loopSendingAgain
	case c.loop == loopStopped || c.requestTimer == nil || !c.requestTimer.Stop(): // or it is about to look by itself
	case c.state == claimActive && c.wanted > 0:
		c.queue.manager.Async(func() { c.queue.requestLoop(c) })
	default:
		c.loop = loopStopped
	}
}

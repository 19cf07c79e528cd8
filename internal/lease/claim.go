package lease

import (
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

// A claim is what this process wants and holds in Redis on one key. That of a Mutex
// wants or holds its one permit; that of a semaphore can do both. The mutex of its queue guards
// it, except for the last field.
type claim struct {
	queue    *keyQueue
	token    string
	ttl      time.Duration
	state    claimState
	notified bool // its token asks for a notice when others wait
	// last is the lease that has ended last, or for which the claim was made. A release carries
	// the values of its ctx. It is fixed when state is not claimActive: see leave.
	last *Lease

	want       want
	requests   requests
	redis      redisState
	hold       hold
	contention contention
	linger     *lingering // nil if it may not linger

	// While it is given back:
	releaseAgain bool          // a request has returned that may have been executed after the release
	proceedNow   chan struct{} // closed to end awaitProceed; nil if nobody is in it

	client.TimerEntry // guarded by the mutex of the client
}

// claimState follows the drawing in section 7 of PROTOCOL.md.
type claimState uint8

const (
	claimActive    claimState = iota
	claimDraining             // waits for the requests under way, so that its release does not overtake them
	claimReleasing            // keyQueue.finishRelease gives it back
	claimClosed               // its queue has no claim, or another one
)

// redisState is what Redis may have under the token of a claim.
type redisState struct {
	weight      int64  // that Redis may think we hold: never less than it does
	ackedSeq    int64  // number of the request that weight is by
	maybeQueued bool   // an entry, or a grant that we have not heard of
	replaces    string // Mutex: the held token that the claim takes the place of, or ""
}

// newClaim makes a claim for the first lease that waits. It may take the place of one that
// yields.
func newClaim(q *keyQueue, first *Lease, yields bool) *claim {
	c := &claim{queue: q, last: first, linger: q.newLingering(first, yields)}
	mark := ""
	if c.linger != nil {
		mark, c.notified = lingerMark, true
	} else if first.notify() {
		mark, c.notified = noticeMark, true
	}
	if c.notified {
		mark += q.manager.store.NodeTag(q.name.Key)
	}
	c.token = q.manager.NewToken(first.ttl, first.label, mark)
	if c.setWant(first); c.notified {
		q.manager.register(c)
		q.manager.subscribe(nil)
	}
	return c
}

// leave ends the active state. If the last lease still waits, its events are those of the next
// claim: only its ctx is kept.
func (c *claim) leave(next claimState) {
	if c.state == claimActive && c.last.state != leaseEnded {
		c.last = &Lease{caller: c.last.caller}
	}
	c.state = next
	c.wake()
}

// nextRequest returns the next request to send.
func (c *claim) nextRequest(queue bool, now time.Time) Request {
	c.redis.maybeQueued = c.redis.maybeQueued || queue
	return Request{
		Name: c.queue.name, Token: c.token, Replaces: c.redis.replaces, TTL: c.ttl, HandoverTTL: c.handoverTTL(), Seq: c.requests.next(queue, now), Enqueue: queue, Channel: c.queue.manager.Channel(),
		Keep: c.hold.weight, Want: c.want.weight, WantSeq: c.want.seq, Size: c.want.size, WantShared: c.want.shared, HeldShared: c.hold.shared,
	}
}

// handoverWindow returns the window of a hand-over that followed request n. It is empty
// if n is not one of the last few: then its window would have passed.
func (c *claim) handoverWindow(seq int64) client.TrustWindow {
	if at, ok := c.requests.sentAt(seq); ok {
		return client.NewTrustWindow(at, c.handoverTTL())
	}
	return client.TrustWindow{}
}

// handoverTTL is what a hand-over gives: long enough for the message and a renewal,
// short enough that a dead waiter does not keep the others out for long.
func (c *claim) handoverTTL() time.Duration { return min(c.ttl, 3*MaxPollInterval) }

// maxLifetime is the longest that anything a request makes in Redis can last.
func (c *claim) maxLifetime() time.Duration { return max(c.ttl, WaiterTTL) }

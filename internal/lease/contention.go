package lease

import (
	"sync"
	"time"
)

// A contentionSignal is closed when another process waits for what a lease holds, or one of
// several leases.
type contentionSignal struct {
	once sync.Once
	ch   chan struct{}
}

func newContentionSignal() *contentionSignal { return &contentionSignal{ch: make(chan struct{})} }

func (s *contentionSignal) signal() { s.once.Do(func() { close(s.ch) }) }

// neverContended is the channel of a hold that has ended.
var neverContended = make(chan struct{})

// Contended returns a channel that is closed when another process waits for what the lease
// holds. The end of the hold does not close it.
func (l *Lease) Contended() <-chan struct{} {
	l = l.canonical()
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	if l.expire(time.Now()); l.state != leaseHeld {
		return neverContended
	}
	s := l.claim.signals[l]
	if s == nil {
		s = newContentionSignal()
		l.claim.watchContention(l, s)
	}
	return s.ch
}

// watchContention has the signal sent when another process waits, while the lease is held. The
// renewals of the claim ask for that from now on.
func (c *claim) watchContention(l *Lease, s *contentionSignal) {
	if c.signals == nil {
		c.signals = make(map[*Lease]*contentionSignal)
	}
	c.signals[l] = s
	if c.contended {
		s.signal()
	}
}

// Contended returns a channel that is closed when another process waits for one of the keys.
func (ml *MultiLease) Contended() <-chan struct{} {
	ml.mu.Lock()
	s := ml.contention
	if s == nil {
		s = newContentionSignal()
		ml.contention = s
	}
	ml.mu.Unlock()
	for _, l := range ml.leases {
		l.queue.mu.Lock()
		if l.state == leaseHeld {
			l.claim.watchContention(l, s)
		}
		l.queue.mu.Unlock()
	}
	return s.ch
}

// noteContention notes whether others wait, as Redis says to a request that was sent then. A
// message that came since may be about one who has come since.
func (c *claim) noteContention(contended bool, sent time.Time) {
	c.setContended(contended || c.contendedAt != 0 && c.contendedAt >= monoTimeOf(sent))
}

// setContended notes whether others wait, and tells the leases.
func (c *claim) setContended(contended bool) {
	if c.contended = contended; !contended {
		return
	}
	for _, s := range c.signals {
		s.signal()
	}
}

// noteContentionNotice handles the message that others wait.
func (c *claim) noteContentionNotice(now time.Time) {
	c.contendedAt = monoTimeOf(now)
	c.setContended(true)
}

// Marks at the end of the serial in a token.
const (
	noticeMark = '!' // the claim wants a notice when others wait
	lingerMark = '~' // and it may linger
)

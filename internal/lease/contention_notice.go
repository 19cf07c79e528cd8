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

// contention is what a claim knows of other processes that wait for what it holds.
type contention struct {
	present  bool                         // others wait, as far as is known
	noticeAt monoTime                     // when the last notice came, or 0
	signals  map[*Lease]*contentionSignal // of leases that want to know; nil until one asks
}

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
	s := l.claim.contention.signals[l]
	if s == nil {
		s = newContentionSignal()
		l.claim.contention.watch(l, s)
	}
	return s.ch
}

// watch has the signal sent when another process waits, while the lease is held. The
// renewals of the claim ask for that from now on.
func (c *contention) watch(l *Lease, s *contentionSignal) {
	if c.signals == nil {
		c.signals = make(map[*Lease]*contentionSignal)
	}
	c.signals[l] = s
	if c.present {
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
			l.claim.contention.watch(l, s)
		}
		l.queue.mu.Unlock()
	}
	return s.ch
}

// note records whether others wait, as the reply to a request sent at that time reports. A notice
// that has come since may be about a later waiter, and still counts.
func (c *contention) note(contended bool, sent time.Time) {
	c.set(contended || c.noticeAt != 0 && c.noticeAt >= monoTimeOf(sent))
}

// set records whether others wait, and signals the leases.
func (c *contention) set(contended bool) {
	c.present = contended
	if !contended {
		return
	}
	for _, s := range c.signals {
		s.signal()
	}
}

// noteNotice handles the message that others wait.
func (c *contention) noteNotice(now time.Time) {
	c.noticeAt = monoTimeOf(now)
	c.set(true)
}

// Marks at the end of the serial in a token.
const (
	noticeMark = "!" // the claim wants a notice when others wait
	lingerMark = "~" // and it may linger
)

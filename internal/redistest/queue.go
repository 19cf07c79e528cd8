package redistest

import (
	"sync"
	"time"
)

// A queuedFrame is a frame on its way, or the close of its connection.
type queuedFrame struct {
	frame []byte // nil is the close
	due   time.Time
}

// A frameClass is a class of frames that never overtake one another. Messages have
// their own, as a message may be late while replies are not.
type frameClass int

const (
	replies  frameClass = iota // and requests
	messages                   // of pub/sub
	frameClasses
)

// A queue holds what is yet to be written to one side of a link, in the order
// of the times at which it is due.
type queue struct {
	held func() bool   // a black hole: nothing comes out
	wake chan struct{} // has room for one: something has changed

	mu      sync.Mutex
	parcels []queuedFrame
	last    [frameClasses]time.Time // when the last frame of a lane is due
	closed  bool
}

func newQueue(held func() bool) *queue {
	return &queue{held: held, wake: make(chan struct{}, 1)}
}

// put appends a frame that is to leave after the delay, but not before those
// of its own lane.
func (q *queue) put(frame []byte, in frameClass, delay time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	due := time.Now().Add(delay)
	if due.Before(q.last[in]) {
		due = q.last[in]
	}
	q.last[in] = due
	i := len(q.parcels)
	for i > 0 && q.parcels[i-1].due.After(due) {
		i--
	}
	q.parcels = append(q.parcels, queuedFrame{})
	copy(q.parcels[i+1:], q.parcels[i:])
	q.parcels[i] = queuedFrame{frame, due}
	q.notify()
}

// end appends the close of the connection, after all frames.
func (q *queue) end(delay time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	due := time.Now().Add(delay)
	for _, last := range q.last {
		if due.Before(last) {
			due = last
		}
	}
	q.parcels = append(q.parcels, queuedFrame{nil, due})
	q.notify()
}

// next waits for the first parcel; it is not ok when the queue was closed.
func (q *queue) next() (p queuedFrame, ok bool) {
	for {
		p, wait, open := q.first()
		switch {
		case !open:
			return queuedFrame{}, false
		case wait == 0:
			return p, true
		case wait < 0:
			<-q.wake
		default:
			select {
			case <-q.wake:
			case <-time.After(wait):
			}
		}
	}
}

// first takes the first parcel if it is due. Otherwise wait is the time until
// then, or -1 if that is unknown.
func (q *queue) first() (p queuedFrame, wait time.Duration, open bool) {
	held := q.held()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return queuedFrame{}, 0, false
	}
	if held || len(q.parcels) == 0 {
		return queuedFrame{}, -1, true
	}
	if wait = time.Until(q.parcels[0].due); wait > 0 {
		return queuedFrame{}, wait, true
	}
	p, q.parcels = q.parcels[0], q.parcels[1:]
	return p, 0, true
}

// ready reports whether a frame is due.
func (q *queue) ready() bool {
	held := q.held()
	q.mu.Lock()
	defer q.mu.Unlock()
	return !held && !q.closed && len(q.parcels) > 0 && time.Until(q.parcels[0].due) <= 0
}

// pass waits until the queue is not held; it is false when it was closed.
func (q *queue) pass() bool {
	for q.held() {
		q.mu.Lock()
		closed := q.closed
		q.mu.Unlock()
		if closed {
			return false
		}
		<-q.wake
	}
	return true
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.notify()
}

// notify lets the waiter look again; a token that is still there serves too.
func (q *queue) notify() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

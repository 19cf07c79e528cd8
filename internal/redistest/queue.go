package redistest

import (
	"slices"
	"sync"
	"time"
)

// A queuedFrame is a frame to write, or the close of its connection.
type queuedFrame struct {
	frame []byte // nil is the close
	due   time.Time
}

// Frames of one frameClass stay in order. Messages have a class of their own: they may be delayed
// while replies are not.
type frameClass int

const (
	replies  frameClass = iota // and requests
	messages                   // pub/sub
	frameClasses
)

// A queue holds the frames to write to one side of a link, ordered by the times at which they are due.
type queue struct {
	held func() bool   // reports whether a black hole holds all frames
	wake chan struct{} // of capacity 1: something has changed

	mu     sync.Mutex
	frames []queuedFrame
	last   [frameClasses]time.Time // due time of the last frame of each class
	closed bool
}

func newQueue(held func() bool) *queue {
	return &queue{held: held, wake: make(chan struct{}, 1)}
}

// put adds a frame that is due after the delay, but not before the frames of its class.
func (q *queue) put(frame []byte, in frameClass, delay time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	due := time.Now().Add(delay)
	if due.Before(q.last[in]) {
		due = q.last[in]
	}
	q.last[in] = due
	i := len(q.frames)
	for i > 0 && q.frames[i-1].due.After(due) {
		i--
	}
	q.frames = slices.Insert(q.frames, i, queuedFrame{frame, due})
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
	q.frames = append(q.frames, queuedFrame{nil, due})
	q.notify()
}

// next waits for the first frame; ok is false after the queue was closed.
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

// first removes and returns the first frame if it is due. Otherwise wait is the time until then, or
// -1 if that is unknown.
func (q *queue) first() (p queuedFrame, wait time.Duration, open bool) {
	held := q.held()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return queuedFrame{}, 0, false
	}
	if held || len(q.frames) == 0 {
		return queuedFrame{}, -1, true
	}
	if wait = time.Until(q.frames[0].due); wait > 0 {
		return queuedFrame{}, wait, true
	}
	p, q.frames = q.frames[0], q.frames[1:]
	return p, 0, true
}

// ready reports whether a frame is due.
func (q *queue) ready() bool {
	held := q.held()
	q.mu.Lock()
	defer q.mu.Unlock()
	return !held && !q.closed && len(q.frames) > 0 && time.Until(q.frames[0].due) <= 0
}

// pass waits until the queue is not held. It returns false if the queue is closed.
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

// notify wakes the waiter. One pending token is enough.
func (q *queue) notify() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

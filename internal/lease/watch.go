package lease

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A watch is what this process awaits of one wait group: one goroutine looks, for
// all who wait, and one channel tells it when a round is over. It exists while
// somebody here waits, and a moment longer.
type watch struct {
	keeper *Keeper
	key    string
	topic  string
	nudge  chan struct{} // look at once
	tuned  bool          // the subscription is to hear the topic; guarded by the mutex of the keeper

	mu         sync.Mutex // taken before the keeper's
	gone       bool       // the keeper has dropped it: look the key up again
	head, tail *Wait
	looks      int64 // begun so far
	settling   []settling
	ended      int64 // the last round that is known to be over
	hears      bool  // the end of a round will be told
	redis      error // what the last look failed with
	failing    streak
}

// watchOver returns the watch of the group at key.
func (k *Keeper) watchOver(key, topic string) *watch {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.watches.M[key]
	if w == nil {
		w = &watch{keeper: k, key: key, topic: topic, nudge: make(chan struct{}, 1)}
		k.watches.Set(key, w)
		k.ear.keep()
		go w.run()
	}
	return w
}

// admit takes in one who waits, unless the watch has gone in the meantime.
func (w *watch) admit(x *Wait) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		return false
	}
	x.watch, x.after = w, w.looks
	if x.prev = w.tail; w.tail == nil {
		w.head = x
	} else {
		w.tail.next = x
	}
	w.tail = x
	w.wake()
	return true
}

// remove takes one out who waits. The watch is locked.
func (w *watch) remove(x *Wait) {
	if x.prev == nil {
		w.head = x.next
	} else {
		x.prev.next = x.next
	}
	if x.next == nil {
		w.tail = x.prev
	} else {
		x.next.prev = x.prev
	}
	x.prev, x.next = nil, nil
	if w.head == nil { // and so nobody looks
		w.settle(w.looks + 1)
	}
}

func (w *watch) wake() {
	select {
	case w.nudge <- struct{}{}:
	default:
	}
}

// run is the goroutine of a watch.
func (w *watch) run() {
	fast, slow := newBackoff(10*time.Millisecond, 0.5), newBackoff(PollBound, 0.1)
	tuned := false
	for idle := false; ; {
		look, from, awaited := w.begin()
		if !awaited && idle && w.close() {
			return
		}
		wait := linger
		if awaited {
			round, err := w.keeper.counter().Look(context.Background(), w.key, from)
			var hears bool
			awaited, hears = w.answer(look, round, err)
			switch {
			case !awaited:
			case err != nil:
				wait = fast.NextBackOff()
			case !tuned:
				w.tuneIn()
				tuned, wait = true, patience
			case hears:
				fast.Reset()
				wait = slow.NextBackOff()
			default:
				wait = fast.NextBackOff()
			}
		}
		idle = !awaited
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-w.nudge:
		}
		timer.Stop()
	}
}

// begin numbers a look, and returns the first of the rounds that are awaited, 0 if
// those who wait know of none yet.
func (w *watch) begin() (look, from int64, awaited bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.head == nil {
		return 0, 0, false
	}
	w.looks++
	for x := w.head; x != nil; x = x.next {
		if x.round != 0 && (from == 0 || x.round < from) {
			from = x.round
		}
	}
	return w.looks, from, true
}

// answer deals with what a look has found.
func (w *watch) answer(look int64, r Round, err error) (awaited, hears bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.redis = err; err != nil {
		w.redisError(err)
	}
	lasts := w.failing.exceeds(unknownLimit, err)
	var next *Wait
	for x := w.head; x != nil; x = next {
		switch next = x.next; {
		case IsPermanent(err):
			x.end(err)
		case lasts && x.forever:
			x.end(Permanent(err))
		case err != nil:
		case x.round == 0 && x.after >= look: // it came after this look had begun
		case x.round == 0 && r.Left > 0:
			if x.round = r.Number; x.round <= w.ended { // the message was faster
				w.wake()
			}
		case x.round == 0:
			x.end(abandoned(r.Lost[r.Number]))
		case x.round == r.Number && r.Left > 0:
		case x.round > r.Number || x.round < r.Since:
			x.end(errGone)
		default:
			x.end(abandoned(r.Lost[x.round]))
		}
	}
	if err == nil {
		w.settle(look)
	}
	return w.head != nil, w.hears
}

// redisError tells of a look that has failed, once for each Trace of those who wait.
func (w *watch) redisError(err error) {
	var seen []*Trace
	for x := w.head; x != nil; x = x.next {
		if t := x.tracer; t != nil && !slices.Contains(seen, t.trace) {
			seen = append(seen, t.trace)
			t.redisError("look", err)
		}
	}
}

// over deals with the message that a round is over, which has lost so many tasks.
// Nothing changes that any more, so that it does not matter how late it comes.
func (w *watch) over(round, lost int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = max(w.ended, round)
	var next *Wait
	for x := w.head; x != nil; x = next {
		switch next = x.next; {
		case x.round == round:
			x.end(abandoned(lost))
		case x.round != 0 && x.round < round: // its own message was lost
			w.wake()
		}
	}
}

// hear notes whether the end of a round will be told. What was told before may
// have been lost.
func (w *watch) hear(hears bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hears = hears
	w.wake()
}

// tuneIn has the subscription hear the topic.
func (w *watch) tuneIn() {
	k := w.keeper
	k.mu.Lock()
	w.tuned = true
	k.tune(w.topic, true)
	k.mu.Unlock()
	k.listen(nil)
}

// close ends the watch, unless somebody waits by now.
func (w *watch) close() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.head != nil {
		return false
	}
	w.gone = true
	k := w.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	if w.tuned {
		w.tuned = false
		k.tune(w.topic, false)
	}
	k.watches.Delete(w.key)
	k.rest()
	return true
}

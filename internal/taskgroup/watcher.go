package taskgroup

import (
	linkedlist "container/list"
	"context"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// A watcher waits for one wait group on behalf of this process. One goroutine polls for all waiters,
// and a message on its channel reports that a generation is finished. A watcher exists while there
// are waiters, and a moment longer.
type watcher struct {
	manager *Manager
	key     string
	channel string
	wakeup  chan struct{} // poll at once

	mu           sync.Mutex      // taken before that of the manager
	removed      bool            // the manager has dropped it: look the key up again
	waiters      linkedlist.List // of *waiter, in the order of their numbers
	polls        int64           // begun so far
	lastNumber   int64           // number of the last waiter
	lastBound    int64           // number of the last waiter whose generation is known
	lastFinished int64           // the last generation that is known to be finished
	subscribed   bool            // a message will report the end of a generation
	lastErr      error           // of the last poll
	errStreak    retry.Streak
}

// add adds a waiter, unless the watcher has been removed in the meantime.
func (w *watcher) add(x *waiter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.removed {
		return false
	}
	w.lastNumber++
	x.watcher, x.minPoll, x.number = w, w.polls, w.lastNumber
	x.element = w.waiters.PushBack(x)
	w.wake()
	return true
}

// each yields the waiters, newest first, so that a caller may stop at the first that is too old.
// A waiter may be removed meanwhile. The watcher is locked.
func (w *watcher) each(yield func(*waiter) bool) {
	var prev *linkedlist.Element
	for e := w.waiters.Back(); e != nil; e = prev {
		prev = e.Prev()
		if !yield(e.Value.(*waiter)) {
			return
		}
	}
}

func (w *watcher) wake() {
	select {
	case w.wakeup <- struct{}{}:
	default:
	}
}

// run is the goroutine of a watcher.
func (w *watcher) run() {
	fast, slow := retry.NewBackoff(10*time.Millisecond, 0.5), retry.NewBackoff(retry.MaxInterval, 0.1)
	listens := false
	for idle := false; ; {
		poll, from, awaited := w.beginPoll()
		if !awaited && idle && w.tryClose(listens) {
			return
		}
		wait := client.SubscriptionIdle
		if awaited {
			generation, err := w.manager.store.GroupStatus(context.Background(), w.key, from)
			var subscribed bool
			awaited, subscribed = w.handlePoll(poll, generation, err)
			switch {
			case !awaited:
			case err != nil:
				wait = fast.NextBackOff()
			case !listens:
				w.manager.Listen(w.channel, w)
				w.manager.Subscribe()
				listens, wait = true, client.SubscribeTimeout
			case subscribed:
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
		case <-w.wakeup:
		}
		timer.Stop()
	}
}

// beginPoll numbers a poll, and returns the first of the generations that are awaited, 0 if no waiter
// knows its generation yet.
func (w *watcher) beginPoll() (poll, from int64, awaited bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiters.Len() == 0 {
		return 0, 0, false
	}
	w.polls++
	for x := range w.each {
		if x.generation != 0 && (from == 0 || x.generation < from) {
			from = x.generation
		}
	}
	return w.polls, from, true
}

// handlePoll handles the reply to a poll.
func (w *watcher) handlePoll(poll int64, g Generation, err error) (awaited, subscribed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastErr = err
	if err != nil {
		w.redisError(err)
	}
	lasts := w.errStreak.Exceeds(retry.UnknownLimit, err)
	late := false // the message of a generation's end
	for x := range w.each {
		switch {
		case retry.IsPermanent(err):
			x.finish(err)
		case lasts && x.neverCancelled:
			x.finish(retry.Permanent(err))
		case err != nil:
		case x.minPoll >= poll: // it came, or got its generation, after this poll had begun
		case x.generation == 0 && g.Remaining > 0:
			if x.bind(g.Number); x.generation <= w.lastFinished { // the message was faster
				w.wake()
			}
		case x.generation == 0:
			x.finish(abandonedError(g.Abandoned[g.Number]))
		case x.generation == g.Number && g.Remaining > 0:
		case x.generation > g.Number || x.generation < g.OldestKnown:
			x.finish(errGroupLost)
		default:
			late = w.subscribed
			x.finish(abandonedError(g.Abandoned[x.generation]))
		}
	}
	if late {
		w.manager.Missed()
	}
	return w.waiters.Len() > 0, w.subscribed
}

// redisError emits a failed poll, once for each Trace of the waiters.
func (w *watcher) redisError(err error) {
	var seen trace.Seen
	for x := range w.each {
		if seen.Add(x.tracer) {
			x.tracer.RedisError("status", err)
		}
	}
}

// HandleMessage handles the message that a generation is finished.
func (w *watcher) HandleMessage(m client.Message) { w.handleFinished(m.Seq, m.Weight) }

// handleFinished notes that a generation is finished and has lost so many tasks. That is final, so a
// late message does no harm.
func (w *watcher) handleFinished(generation, abandoned int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastFinished = max(w.lastFinished, generation)
	for x := range w.each {
		switch {
		case x.generation == generation:
			x.finish(abandonedError(abandoned))
		case x.generation != 0 && x.generation < generation: // its own message was lost
			w.wake()
		}
	}
}

// SetSubscribed notes whether messages will report the end of a generation. Earlier messages may have
// been lost.
func (w *watcher) SetSubscribed(subscribed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subscribed = subscribed
	w.wake()
}

// tryClose ends the watcher, unless a waiter has come.
func (w *watcher) tryClose(listens bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiters.Len() > 0 {
		return false
	}
	w.removed = true
	m := w.manager
	m.mu.Lock()
	defer m.mu.Unlock()
	if listens {
		m.StopListening(w.channel)
	}
	m.watchers.Delete(w.key)
	m.RemoveUser()
	return true
}

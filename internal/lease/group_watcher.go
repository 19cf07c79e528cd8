package lease

import (
	linkedlist "container/list"
	"context"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// A groupWatcher is what this process awaits of one wait group: one goroutine polls, for
// all who wait, and one channel tells it when a generation is over. It exists while
// somebody here waits, and a moment longer.
type groupWatcher struct {
	manager     *Manager
	store       GroupStore
	key         string
	channel     string
	wakeup      chan struct{} // poll at once
	wantChannel bool          // the subscription is to hear the channel; guarded by the mutex of the manager

	mu           sync.Mutex      // taken before the manager's
	removed      bool            // the manager has dropped it: look the key up again
	waiters      linkedlist.List // of *groupWaiter, in the order of their numbers
	polls        int64           // begun so far
	lastNumber   int64           // number of the last who came
	lastBound    int64           // and of the last who knows its generation
	lastFinished int64           // the last generation that is known to be over
	subscribed   bool            // the end of a generation will be told
	lastErr      error           // what the last poll failed with
	errStreak    retry.Streak
}

// watcherFor returns the watcher of the group at key.
func (m *Manager) watcherFor(store GroupStore, key, channel string) *groupWatcher {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.watchers.Entries[key]
	if w == nil {
		w = &groupWatcher{manager: m, store: store, key: key, channel: channel, wakeup: make(chan struct{}, 1)}
		m.watchers.Set(key, w)
		m.subscription.markUsed()
		go w.run()
	}
	return w
}

// add takes in one who waits, unless the watcher has gone in the meantime.
func (w *groupWatcher) add(x *groupWaiter) bool {
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
func (w *groupWatcher) each(yield func(*groupWaiter) bool) {
	var prev *linkedlist.Element
	for e := w.waiters.Back(); e != nil; e = prev {
		if prev = e.Prev(); !yield(e.Value.(*groupWaiter)) {
			return
		}
	}
}

func (w *groupWatcher) wake() {
	select {
	case w.wakeup <- struct{}{}:
	default:
	}
}

// run is the goroutine of a watcher.
func (w *groupWatcher) run() {
	fast, slow := retry.NewBackoff(10*time.Millisecond, 0.5), retry.NewBackoff(MaxPollInterval, 0.1)
	tuned := false
	for idle := false; ; {
		poll, from, awaited := w.beginPoll()
		if !awaited && idle && w.tryClose() {
			return
		}
		wait := subscriptionIdle
		if awaited {
			generation, err := w.store.GroupStatus(context.Background(), w.key, from)
			var subscribed bool
			awaited, subscribed = w.handlePoll(poll, generation, err)
			switch {
			case !awaited:
			case err != nil:
				wait = fast.NextBackOff()
			case !tuned:
				w.subscribe()
				tuned, wait = true, subscribeTimeout
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

// beginPoll numbers a poll, and returns the first of the generations that are awaited, 0 if
// those who wait know of none yet.
func (w *groupWatcher) beginPoll() (poll, from int64, awaited bool) {
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

// handlePoll deals with what a poll has found.
func (w *groupWatcher) handlePoll(poll int64, g Generation, err error) (awaited, subscribed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lastErr = err; err != nil {
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
		case x.minPoll >= poll: // it came, or was bound to its generation, after this poll had begun
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
		w.manager.missed()
	}
	return w.waiters.Len() > 0, w.subscribed
}

// redisError tells of a poll that has failed, once for each Trace of those who wait.
func (w *groupWatcher) redisError(err error) {
	var seen trace.Seen
	for x := range w.each {
		if seen.Add(x.tracer) {
			x.tracer.RedisError("status", err)
		}
	}
}

// handleFinished deals with the message that a generation is over, which has lost so many tasks.
// Nothing changes that any more, so that it does not matter how late it comes.
func (w *groupWatcher) handleFinished(generation, abandoned int64) {
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

// setSubscribed notes whether the end of a generation will be told. What was told before may
// have been lost.
func (w *groupWatcher) setSubscribed(subscribed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subscribed = subscribed
	w.wake()
}

// subscribe has the subscription hear the channel.
func (w *groupWatcher) subscribe() {
	m := w.manager
	m.mu.Lock()
	w.wantChannel = true
	m.setChannel(w.channel, true)
	m.mu.Unlock()
	m.subscribe(nil)
}

// tryClose ends the watcher, unless somebody waits by now.
func (w *groupWatcher) tryClose() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiters.Len() > 0 {
		return false
	}
	w.removed = true
	m := w.manager
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.wantChannel {
		w.wantChannel = false
		m.setChannel(w.channel, false)
	}
	m.watchers.Delete(w.key)
	m.closeWhenIdle()
	return true
}

package lease

import (
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

// A valueWatcher subscribes this process to the changes of the value at one key, while a
// ValueWatch exists and a moment longer. The mutex of the manager guards it.
type valueWatcher struct {
	manager    *Manager
	channel    string
	subscribed bool
	watches    map[*ValueWatch]struct{}
}

// A ValueWatch signals that the value beside a mutex may have changed. A signal may be
// late or repeated, and Redis may lose it, so its receiver also polls.
type ValueWatch struct {
	manager *Manager
	watcher *valueWatcher
	key     string
	signal  chan struct{}
}

// WatchValue returns a watch of the value at key, whose changes are published on channel. It
// returns at once; Subscribed turns true a round trip later, with a signal.
func (m *Manager) WatchValue(key, channel string) *ValueWatch {
	m.mu.Lock()
	w := m.valueWatchers.Entries[key]
	if w == nil {
		w = &valueWatcher{manager: m, channel: channel, watches: make(map[*ValueWatch]struct{})}
		m.valueWatchers.Set(key, w)
		m.AddUser()
		m.Listen(channel, w)
	}
	v := &ValueWatch{m, w, key, make(chan struct{}, 1)}
	w.watches[v] = struct{}{}
	m.mu.Unlock()
	m.Subscribe()
	return v
}

// C receives after a message, and after each change of the subscription.
func (v *ValueWatch) C() <-chan struct{} { return v.signal }

// Subscribed reports whether changes from now on will be signaled.
func (v *ValueWatch) Subscribed() bool {
	v.manager.mu.Lock()
	defer v.manager.mu.Unlock()
	return v.watcher.subscribed
}

// Stop ends the watch.
func (v *ValueWatch) Stop() {
	m := v.manager
	m.mu.Lock()
	defer m.mu.Unlock()
	if delete(v.watcher.watches, v); len(v.watcher.watches) == 0 {
		time.AfterFunc(client.SubscriptionIdle, func() { m.closeValueWatcher(v.key, v.watcher) })
	}
}

func (m *Manager) closeValueWatcher(key string, w *valueWatcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(w.watches) > 0 || m.valueWatchers.Entries[key] != w {
		return
	}
	m.StopListening(w.channel)
	m.valueWatchers.Delete(key)
	m.RemoveUser()
}

// SetSubscribed notes whether the channel is subscribed to from now on. Earlier messages may have
// been lost, so all watches are signaled.
func (w *valueWatcher) SetSubscribed(subscribed bool) {
	w.manager.mu.Lock()
	defer w.manager.mu.Unlock()
	w.subscribed = subscribed
	w.wake()
}

// HandleMessage handles the message that the value has changed.
func (w *valueWatcher) HandleMessage(client.Message) {
	w.manager.mu.Lock()
	defer w.manager.mu.Unlock()
	w.wake()
}

// wake signals all watches. The manager is locked.
func (w *valueWatcher) wake() {
	for v := range w.watches {
		select {
		case v.signal <- struct{}{}:
		default:
		}
	}
}

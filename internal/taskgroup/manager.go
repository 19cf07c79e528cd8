package taskgroup

import (
	"crypto/rand"
	"sync"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

// A Manager has the watchers of the wait groups that one process awaits through one Redis client.
type Manager struct {
	*client.Client
	store Store

	mu       sync.Mutex                   // taken before the client's
	watchers client.Map[string, *watcher] // by the key of their groups
}

// NewManager returns the manager of a store. It needs no Close: it uses no resources while there is
// no task and no waiter.
func NewManager(c *client.Client, s Store) *Manager { return &Manager{Client: c, store: s} }

// NewSession returns a session for the group at key.
func (m *Manager) NewSession(key string) *Session {
	return &Session{manager: m, key: key, id: rand.Text()[:16]}
}

// watcherFor returns the watcher of the group at key.
func (m *Manager) watcherFor(key, channel string) *watcher {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.watchers.Entries[key]
	if w == nil {
		w = &watcher{manager: m, key: key, channel: channel, wakeup: make(chan struct{}, 1)}
		m.watchers.Set(key, w)
		m.AddUser()
		go w.run()
	}
	return w
}

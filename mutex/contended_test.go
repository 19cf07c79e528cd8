package mutex_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// A holder learns that another process waits, by each kind of lock, on each server: with
// NotifyContention by a message, and without it by a renewal.
func TestContended(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		other := anotherClient(t, rdb)
		for _, notify := range []bool{true, false} {
			ttl := mutex.DefaultTTL
			if !notify {
				ttl = 300 * time.Millisecond
			}
			m, m2 := mutex.New(rdb, "mutex"), mutex.New(other, "mutex")
			m.NotifyContention, m.TTL, m2.TTL = notify, ttl, ttl
			rw, rw2 := mutex.NewRW(rdb, "rw"), mutex.NewRW(other, "rw")
			rw.NotifyContention, rw.TTL, rw2.TTL = notify, ttl, ttl
			p, p2 := mutex.NewPool(rdb, "pool:"), mutex.NewPool(other, "pool:")
			p.NotifyContention, p.TTL, p2.TTL = notify, ttl, ttl
			for name, held := range map[string]struct {
				lock func() (*mutex.Lease, error)
				wait func() <-chan mutex.Result
			}{
				"Mutex":   {func() (*mutex.Lease, error) { return m.LockContext(t.Context()) }, func() <-chan mutex.Result { return m2.LockChan(t.Context()) }},
				"RWMutex": {func() (*mutex.Lease, error) { return rw.LockContext(t.Context()) }, func() <-chan mutex.Result { return rw2.RLockChan(t.Context()) }},
				"reader":  {func() (*mutex.Lease, error) { return rw.RLockContext(t.Context()) }, func() <-chan mutex.Result { return rw2.LockChan(t.Context()) }},
				"Pool":    {func() (*mutex.Lease, error) { return p.LockContext(t.Context(), "a", "b") }, func() <-chan mutex.Result { return p2.LockChan(t.Context(), "b") }},
			} {
				l, err := held.lock()
				if err != nil {
					t.Fatal(err)
				}
				asked := l.Contended()
				next := held.wait()
				<-asked
				if err := l.Err(); err != nil {
					t.Errorf("%s: contention has ended the hold: %v", name, err)
				}
				unlock(t, l)
				unlock(t, (<-next).Lease)
			}
		}
		a, b := electionOf(rdb, "a"), electionOf(other, "b")
		a.TTL = 300 * time.Millisecond
		term := campaign(t, a)
		asked := term.Contended()
		next := b.CampaignChan(t.Context())
		<-asked
		resign(t, term)
		resign(t, (<-next).Term)
	})
}

// NotifyContention costs one message, which the first waiter's request sends; without it,
// and without a call of Contended, a wait costs what it did.
func TestCostContended(t *testing.T) {
	s := redistest.Start(t)
	for notify, messages := range map[bool]int64{false: 1, true: 2} { // one is the hand-over
		a, b := mutex.New(s.Client(t, redistest.Patient), "key"), mutex.New(s.Client(t, redistest.Patient), "key")
		a.NotifyContention = notify
		cycle := func() {
			held := lock(t, a)
			next := b.LockChan(t.Context())
			redistest.Eventually(t, time.Second, func() bool { return waiting(t, s) == 1 }, "b does not queue")
			unlock(t, held)
			unlock(t, (<-next).Lease)
		}
		cycle() // opens the subscriptions
		before := s.Stats(t)
		cycle()
		if cost := s.Stats(t).Since(before); cost.Scripts() != 4 || cost.Published() != messages {
			t.Errorf("with NotifyContention %v, two holds cost %d requests, %d messages", notify, cost.Scripts(), cost.Published())
		}
	}
}

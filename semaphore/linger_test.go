package semaphore_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// A process that acquires as many permits again and again needs no request for it, and another
// process gets them nevertheless.
func TestLinger(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		other := redis.NewClient(&redis.Options{Addr: rdb.Options().Addr, Dialer: rdb.Options().Dialer})
		t.Cleanup(func() { other.Close() })
		a, b := semaphore.NewWeighted(rdb, "key", 3), semaphore.NewWeighted(other, "key", 3)
		a.Linger = time.Second
		pair := func() {
			if err := a.Acquire(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
			a.Release(2)
		}
		for range 3 {
			for range 20 {
				pair()
				time.Sleep(time.Millisecond) // for the subscription
			}
			s, err := a.Inspect(t.Context())
			if err != nil || len(s.Holders) != 1 || !s.Holders[0].Idle || !s.Holders[0].MayLinger || s.Used != 2 {
				t.Errorf("%+v, %v", s, err)
			}
			l, err := b.AcquireLease(t.Context(), 3)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Release(); err != nil {
				t.Error(err)
			}
		}
	})
}

package mutex_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// Each method that locks emits events for its wait, its grant, a loss and a release.
func TestTrace(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		if k.twoKeys { // each key has its own events
			return
		}
		var r redistest.Record[mutex.Event]
		l := k.of(rdb, "key", options{ttl: mutex.DefaultTTL, trace: (*mutex.Trace)(r.Trace())})
		for name, get := range l.ways(t) {
			want, hold := []string{"acquired immediate", "released <nil>"}, time.Duration(0)
			if !strings.HasPrefix(name, "Try") {
				want, hold = []string{"waiting", "acquired notified", "released <nil>"}, time.Second
				h := k.rival().of(sibling(t, rdb), "key", standard).hold(t)
				time.AfterFunc(hold, func() { unlock(t, h) })
			}
			end := get()
			synctest.Wait() // a receive and its event are concurrent
			time.Sleep(time.Minute)
			end()
			r.CheckTake(t, name, want...)
			if r.Waited() != hold || r.Held() != time.Minute {
				t.Errorf("%s: a wait of %v, and a hold of %v", name, r.Waited(), r.Held())
			}
		}
		h := l.hold(t)
		time.Sleep(mutex.DefaultTTL / 2)
		must(rdb.Del(t.Context(), "key").Err())
		<-h.Done()
		r.CheckTake(t, "a deleted key", "acquired immediate", "lost key_missing")
		if r.Renewals() == 0 || r.Held() < mutex.DefaultTTL/2 || r.Held() > mutex.DefaultTTL {
			t.Errorf("%d renewals, and a hold of %v", r.Renewals(), r.Held())
		}
		none := k.of(rdb, "key", options{ttl: mutex.DefaultTTL, trace: new(mutex.Trace)}).hold(t)
		time.Sleep(mutex.DefaultTTL)
		unlock(t, none)
	})
}

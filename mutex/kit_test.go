package mutex_test

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// miniClient returns a client of a miniredis in real time.
func miniClient(t *testing.T) *redis.Client {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

// bubbleClient returns a client of a miniredis in the time of a synctest bubble.
func bubbleClient(t *testing.T) *redis.Client {
	t.Helper()
	rdb := redistest.MiniClient(t, redistest.Mini(t))
	// The subscription lingers a moment after its last use, and in a bubble time
	// stands still once the test has returned.
	t.Cleanup(func() { time.Sleep(time.Second) })
	return rdb
}

// anotherClient returns another client of the same server: to the library, that
// is another process.
func anotherClient(t *testing.T, rdb *redis.Client) *redis.Client {
	t.Helper()
	another := redis.NewClient(&redis.Options{Addr: rdb.Options().Addr, MaintNotificationsConfig: rdb.Options().MaintNotificationsConfig})
	t.Cleanup(func() { another.Close() })
	return another
}

func lock(t *testing.T, m *mutex.Mutex) *mutex.Lease {
	t.Helper()
	l, err := m.LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func unlock(t *testing.T, l *mutex.Lease) {
	t.Helper()
	if err := l.Unlock(); err != nil {
		t.Errorf("Unlock: %v", err)
	}
}

// bubbleSibling returns another client of the same server in the same bubble.
func bubbleSibling(t *testing.T, rdb *redis.Client) *redis.Client {
	t.Helper()
	o := *rdb.Options()
	another := redis.NewClient(&o)
	t.Cleanup(func() { another.Close() })
	return another
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

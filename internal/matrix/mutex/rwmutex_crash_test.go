package mutex_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func init() { workers["rw-locker"] = rwLocker }

// rwLocker is a process that locks the key, to write or with as many readers as it
// is told, says "held" and a fence, and then says what comes of "err" and
// "unlock".
func rwLocker() {
	ttl, err := time.ParseDuration(os.Getenv("TTL"))
	must(err)
	m := rwOf(redis.NewClient(&redis.Options{Addr: os.Getenv("ADDR")}), ttl)
	lock := m.RLockContext
	if os.Getenv("MODE") == "write" {
		lock = m.LockContext
	}
	l, err := lock(context.Background())
	must(err)
	fmt.Println("held", l.Fence())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "err":
			fmt.Println("err", describe(l.Err()))
		case "unlock":
			fmt.Println("unlocked", describe(l.Unlock()))
		}
	}
}

func spawnRW(t *testing.T, s *redistest.Server, mode string, ttl time.Duration) locker {
	t.Helper()
	return locker{redistest.Spawn(t, "rw-locker", "ADDR="+s.Addr(), "TTL="+ttl.String(), "MODE="+mode), t}
}

// TestRWMutexCrash kills and stops processes that hold or await the lock. The cases
// mostly wait, and so all run at the same time.
func TestRWMutexCrash(t *testing.T) {
	t.Parallel()
	together(t, map[string]func(*testing.T){
		"Dies": rwDies, "DiesBeside": rwDiesBeside, "WaiterDies": rwWaiterDies, "Stops": rwStops,
	}, func(t *testing.T, crash func(*testing.T)) { crash(t) })
}

// rwDies kills a process that holds the lock, beside a reader that lives:
// who waits gets in when its TTL is over.
func rwDies(t *testing.T) {
	const ttl = time.Second
	type waiting func(m *mutex.RWMutex) func(context.Context) <-chan mutex.Result
	write := func(m *mutex.RWMutex) func(context.Context) <-chan mutex.Result { return m.LockChan }
	read := func(m *mutex.RWMutex) func(context.Context) <-chan mutex.Result { return m.RLockChan }
	type crash struct {
		mode string
		wait waiting
	}
	together(t, map[string]crash{
		"ReaderThenWriter": {"read", write},
		"WriterThenWriter": {"write", write},
		"WriterThenReader": {"write", read},
	}, func(t *testing.T, c crash) {
		s := redistest.Start(t)
		w := spawnRW(t, s, c.mode, ttl)
		fence := w.held()
		next := rwQueued(t, s, c.wait(rwOf(s.Client(t), ample)), 1)
		w.Kill()
		n := receive(t, "to wait for the dead", next, ttl+poll)
		if n.Fence() <= fence {
			t.Errorf("fence %d after %d", n.Fence(), fence)
		}
		unlock(t, n)
		rwRests(t, s, 0)
	})
}

// rwDiesBeside kills a reader with a short TTL, and one with a long TTL,
// beside one that lives: that one is not touched, and a writer waits for it, and
// for the longer of the TTLs.
func rwDiesBeside(t *testing.T) {
	const short, long = 500 * time.Millisecond, 2 * time.Second
	s := redistest.Start(t)
	a, b := spawnRW(t, s, "read", short), spawnRW(t, s, "read", long)
	a.held()
	b.held()
	alive := rlock(t, rwOf(s.Client(t), ample))
	next := rwQueued(t, s, rwOf(s.Client(t), ample).LockChan, 1)
	a.Kill()
	b.Kill()
	redistest.Eventually(t, short+poll+slack, func() bool { return holdersOf(t, s) == 2 }, "the short one's share has ended")
	keeps(t, alive, short)
	excludes(t, next, 0)
	unlock(t, alive)
	unlock(t, receive(t, "to wait for the longer TTL", next, long+poll))
	rwRests(t, s, 0)
}

// rwWaiterDies kills a writer that keeps readers of another process out while
// it waits: they get in when its place has been passed over, at the latest.
func rwWaiterDies(t *testing.T) {
	s := redistest.Start(t)
	first := rlock(t, rwOf(s.Client(t), ample))
	w := spawnRW(t, s, "write", ample)
	awaitRWQueue(t, s, 1)
	second := rwQueued(t, s, rwOf(s.Client(t), ample).RLockChan, 2)
	w.Kill()
	excludes(t, second, 100*time.Millisecond)
	unlock(t, receive(t, "to pass over the dead", second, 3*poll+poll))
	unlock(t, first)
	rwRests(t, s, 0)
}

// rwStops stops a process that holds the lock for longer than its TTL, and
// lets it go on when another has it: it is told, and touches nothing.
func rwStops(t *testing.T) {
	const ttl = 500 * time.Millisecond
	together(t, map[string]string{"Reader": "read", "Writer": "write"}, func(t *testing.T, mode string) {
		s := redistest.Start(t)
		w := spawnRW(t, s, mode, ttl)
		fence := w.held()
		next := rwQueued(t, s, rwOf(s.Client(t), ample).LockChan, 1)
		w.Pause()
		n := receive(t, "to wait for the end of the hold", next, ttl+poll)
		if n.Fence() <= fence {
			t.Errorf("fence %d after %d", n.Fence(), fence)
		}
		fields := s.Do(t, "HKEYS", "key").([]any)
		w.Continue()
		for _, ask := range []string{"err", "unlock", "unlock"} {
			w.Send(ask)
			if got := w.says(map[string]string{"err": "err", "unlock": "unlocked"}[ask]); got != "lost" {
				t.Errorf("%s says %s", ask, got)
			}
		}
		if got := s.Do(t, "HKEYS", "key").([]any); len(got) != 2 || got[1] != fields[1] && got[0] != fields[0] {
			t.Errorf("the key holds %v, and was %v", got, fields)
		}
		keeps(t, n, ttl)
		unlock(t, n)
		rwRests(t, s, 0)
	})
}

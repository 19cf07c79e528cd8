//go:build unix

package mutex_test

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func init() { workers["locks"] = useLocks }

// sharedLocks is memory that processes share outside Redis. It is independent of the locks.
type sharedLocks struct {
	inside          [2]atomic.Int64 // a reader counts 1, any other holder 1000
	holds, overlaps atomic.Int64
}

const holdsOfAKind = 100 // in each process

// useLocks is a process that uses all kinds of locks in the drop-in style.
func useLocks() {
	o := openShared[sharedLocks](os.Getenv("LOCKS_SHARED"))
	opts, err := redis.ParseURL(os.Getenv("LOCKS_URL"))
	must(err)
	redistest.Patient(opts)
	rdb := redis.NewClient(opts)
	var wg sync.WaitGroup
	for _, k := range kinds {
		inside, key, weight := &o.inside[0], "mutex", int64(1000)
		switch k.name {
		case "RWMutex":
			inside, key = &o.inside[1], "rwmutex"
		case "reader":
			inside, key, weight = &o.inside[1], "rwmutex", 1
		}
		l := k.of(rdb, key, longTTL)
		for range 2 {
			wg.Go(func() {
				for range holdsOfAKind / 2 {
					if !l.tryLock() {
						l.lock()
					}
					if inside.Add(weight) > 1000 {
						o.overlaps.Add(1)
					}
					o.holds.Add(1)
					time.Sleep(100 * time.Microsecond) // so that two holds would overlap
					inside.Add(-weight)
					l.unlock()
				}
			})
		}
	}
	wg.Wait()
}

// Locks of all kinds exclude one another in three processes. internal/soak checks the methods with a
// lease, under faults.
func TestLocksAcrossProcesses(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	path := filepath.Join(t.TempDir(), "shared")
	o := openShared[sharedLocks](path)
	var fleet []*redistest.Worker
	for range 3 {
		fleet = append(fleet, redistest.Spawn(t, "locks", "LOCKS_URL="+s.URL(), "LOCKS_SHARED="+path))
	}
	for _, w := range fleet {
		if err := w.Wait(); err != nil {
			t.Errorf("a process ends with %v", err)
		}
	}
	if o.overlaps.Load() != 0 || o.holds.Load() != int64(len(fleet)*len(kinds)*holdsOfAKind) {
		t.Errorf("%d overlaps in %d holds", o.overlaps.Load(), o.holds.Load())
	}
	awaitEmpty(t, s.Client(t))
}

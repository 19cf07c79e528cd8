package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// goleak checks that the tests leave no goroutine.
func TestMain(m *testing.M) { redistest.Main(m, nil) }

// To the library, each client is a separate process.

// ample is a TTL longer than any stall of the machine.
const ample = redistest.Patience

var (
	must, sibling, bubbleClient  = kit.Must, redistest.Sibling, redistest.BubbleClient
	weightedOf, acquire, release = kit.WeightedOf, kit.Acquire, kit.Release
	queued, weighs               = kit.AwaitPermits, kit.Weighs
)

// panics returns the text of f's panic.
func panics(f func()) string {
	return fmt.Sprint(redistest.Outcome(func() error { f(); return nil }))
}

// withOneAndFourProcesses runs f with the semaphore of one process on a miniredis, and with those of
// four processes on a redis-server: of(i) is that of process i, modulo their number.
func withOneAndFourProcesses(t *testing.T, n int64, f func(t *testing.T, of func(i int) *semaphore.Weighted)) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		all := []*semaphore.Weighted{weightedOf(rdb, n, ample)}
		if strings.HasSuffix(t.Name(), "/redis") {
			for range 3 {
				all = append(all, weightedOf(sibling(t, rdb), n, ample))
			}
		}
		f(t, func(i int) *semaphore.Weighted { return all[i%len(all)] })
	})
}

// ways returns a function for each method that acquires n permits of s. The function acquires them and
// returns how to release them.
func ways(t *testing.T, s *semaphore.Weighted, n int64) map[string]func() (releaseAll func()) {
	leased := func(acquire func(context.Context, int64) (*semaphore.Lease, error)) func() func() {
		return func() func() {
			l, err := acquire(t.Context(), n)
			must(err)
			return func() {
				release(t, l)
				for _, err := range []error{l.Err(), l.Release()} {
					if !errors.Is(err, semaphore.ErrReleased) || !strings.HasSuffix(err.Error(), ` "key": released`) {
						t.Error(err)
					}
				}
			}
		}
	}
	return map[string]func() func(){
		"Acquire": func() func() { must(s.Acquire(t.Context(), n)); return func() { s.Release(n) } },
		"TryAcquire": func() func() {
			if !s.TryAcquire(n) {
				t.Fatal("TryAcquire fails")
			}
			return func() { s.Release(n) }
		},
		"AcquireLease":    leased(s.AcquireLease),
		"TryAcquireLease": leased(s.TryAcquireLease),
		"AcquireChan": leased(func(ctx context.Context, n int64) (*semaphore.Lease, error) {
			r := <-s.AcquireChan(ctx, n)
			return r.Lease, r.Err
		}),
	}
}

// receive waits for a grant.
func receive(t *testing.T, c <-chan semaphore.Result) *semaphore.Lease {
	t.Helper()
	select {
	case r := <-c:
		must(r.Err)
		return r.Lease
	case <-time.After(redistest.Patience):
		t.Fatal("not granted")
		return nil
	}
}

// notGranted checks, in a bubble, that no channel has a result after ten seconds.
func notGranted(t *testing.T, all ...<-chan semaphore.Result) {
	t.Helper()
	time.Sleep(10 * time.Second)
	for _, c := range all {
		if len(c) > 0 {
			t.Fatalf("got %+v", <-c)
		}
	}
}

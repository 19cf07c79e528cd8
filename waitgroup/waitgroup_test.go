package waitgroup_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// The tests of this file hold sync.WaitGroup's own behaviours, under the names
// that its tests have.

func testWaitGroup(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
	const n = 16
	of("one", 0).Add(n)
	of("two", 1).Add(n)
	exited := make(chan bool, n)
	for i := range n {
		one, two := of("one", i), of("two", i+1)
		go func() {
			one.Done()
			two.Wait()
			exited <- true
		}()
	}
	of("one", 2).Wait()
	for i := range n {
		select {
		case <-exited:
			t.Fatal("WaitGroup released group too soon")
		default:
		}
		of("two", i).Done()
	}
	for range n {
		<-exited // Will block if barrier fails to unlock someone.
	}
}

func TestWaitGroup(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
		for range 8 {
			testWaitGroup(t, of)
		}
	})
}

func TestWaitGroupMisuse(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
		defer func() {
			if err := recover(); !strings.Contains(fmt.Sprint(err), "negative WaitGroup counter") {
				t.Errorf("Unexpected panic: %v", err)
			}
			of("key", 1).Wait() // and nothing has changed
		}()
		of("key", 0).Add(1)
		of("key", 1).Done()
		of("key", 2).Done()
		t.Error("Should panic")
	})
}

func TestWaitGroupRace(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
		a, b, c := of("key", 0), of("key", 1), of("key", 2)
		var running sync.WaitGroup // who waits may be told before who is done has its answer
		defer running.Wait()
		for range 100 {
			var n atomic.Int32
			a.Add(1) // spawn goroutine 1
			running.Go(func() {
				n.Add(1)
				a.Done()
			})
			a.Add(1) // spawn goroutine 2
			running.Go(func() {
				n.Add(1)
				b.Done()
			})
			c.Wait() // Wait for goroutine 1 and 2
			if n.Load() != 2 {
				t.Fatal("Spurious wakeup from Wait")
			}
		}
	})
}

func TestWaitGroupGo(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
		var n atomic.Int32
		for i := range 10 {
			of("key", i).Go(func() { n.Add(1) })
		}
		of("key", 3).Wait()
		if got := n.Load(); got != 10 {
			t.Errorf("n = %d, want 10", got)
		}
	})
}

// Who waits need not be told more than once, and who waits for nothing is not
// kept.
func TestWaitGroupWaits(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
		of("key", 0).Wait()
		of("key", 0).Add(2)
		var waits []<-chan error
		for i := range 8 {
			waits = append(waits, of("key", i).WaitChan(t.Context()))
		}
		of("key", 1).Done()
		for i, c := range waits {
			goesOn(t, fmt.Sprint("wait ", i), c, 20*time.Millisecond)
		}
		start := time.Now()
		of("key", 2).Done()
		for i, c := range waits {
			if err := ends(t, fmt.Sprint("wait ", i), c, start, poll); err != nil {
				t.Error(err)
			}
			goesOn(t, "a channel that has yielded", c, 0)
		}
	})
}

// TestWaitGroupReuse uses a group anew while those who waited for its last generation have not
// been told: each of them hears of its own.
func TestWaitGroupReuse(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		p := redistest.NewProxy(t, rdb.Options().Addr)
		here, there := waitgroup.New(rdb, "key"), waitgroup.New(p.Client(t), "key")
		here.Add(1)
		old := there.WaitChan(t.Context())
		listening(t, rdb, 1)
		goesOn(t, "the first round", old, 100*time.Millisecond) // it has looked again
		p.DropMessages(1)
		here.Done()
		here.Add(1)
		late := there.WaitChan(t.Context()) // looks for both
		start := time.Now()
		if err := ends(t, "the first round", old, start, 0); err != nil {
			t.Error(err)
		}
		goesOn(t, "the second round", late, 2*poll)
		start = time.Now()
		here.Done()
		if err := ends(t, "the second round", late, start, poll); err != nil {
			t.Error(err)
		}
	})
}

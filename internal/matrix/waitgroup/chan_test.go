package waitgroup_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestCrowd waits 10,000 times in one process. The waits cost one subscription, one request per second,
// and little memory.
func TestCrowd(t *testing.T) {
	s := redistest.Start(t)
	rdb := s.Client(t)
	here, there := waitgroup.New(rdb, "key"), waitgroup.New(s.Client(t), "key")
	there.Add(1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const waiters = 10_000
	waits := make([]<-chan error, waiters)
	memory, goroutines := heap(), redistest.Goroutines()
	for i := range waits {
		waits[i] = here.WaitChan(ctx)
	}
	listening(t, rdb, 1)
	expectPending(t, "the first wait", waits[0], 100*time.Millisecond)
	each := (heap() - memory) / waiters
	t.Logf("%d bytes per wait, %d additional goroutines", each, redistest.Goroutines()-goroutines)
	if each >= 1000 || redistest.Goroutines()-goroutines > 10 {
		t.Errorf("a wait costs %d bytes, all waits cost %d goroutines", each, redistest.Goroutines()-goroutines)
	}
	before := s.Stats(t)
	const seconds = 3
	<-time.After(seconds * time.Second) // the measured time
	cost := s.Stats(t).Since(before)
	if cost.Requests() > seconds+1 || cost.Subscribes() > 0 {
		t.Errorf("waiting cost %d requests in %d s", cost.Requests(), seconds)
	}
	before = s.Stats(t)
	start := time.Now()
	there.Done()
	for _, c := range waits {
		if err := <-c; err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("all waits ended after %v", time.Since(start))
	if cost := s.Stats(t).Since(before); cost.Published() != 1 || cost.Requests() > 2 {
		t.Errorf("the end of a generation cost %d requests and %d messages", cost.Requests(), cost.Published())
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

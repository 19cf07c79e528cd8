package linear

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// ttl is short, so that a fault outlasts it.
const ttl = 500 * time.Millisecond

// linger is long enough for all that the protocol lets stay behind: an entry of
// 3.6 s, and then the grant of a hand-over to it.
const linger = int64(3600*time.Millisecond + ttl + 100*time.Millisecond)

// fleet are client processes at work, and their chronicle.
type fleet struct {
	*testing.T
	server   *redistest.Server
	workers  []*redistest.Worker
	journals []*journal
	story    *chronicle
	seed     uint64
	from, to int64 // when the fault was
}

// launch starts the processes, each on an address, and waits until all are at work.
func launch(t *testing.T, s *redistest.Server, addr func(process int) string) *fleet {
	t.Helper()
	f := &fleet{T: t, server: s, story: newChronicle(linger), seed: rand.Uint64()}
	if text := os.Getenv("LINEAR_SEED"); text != "" {
		var err error
		if f.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the seed was LINEAR_SEED=%d; the interleaving is not repeatable", f.seed)
		}
	})
	dir := t.TempDir()
	for i := range processes {
		path := filepath.Join(dir, strconv.Itoa(i))
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		f.journals = append(f.journals, &journal{file: file})
		text, err := json.Marshal(plan{addr(i), path, ttl, f.seed, i})
		if err != nil {
			t.Fatal(err)
		}
		f.workers = append(f.workers, redistest.Spawn(t, "client", planEnv+"="+string(text)))
	}
	return f
}

// direct has processes talk to the server itself.
func direct(s *redistest.Server) func(int) string { return func(int) string { return s.Addr() } }

func (f *fleet) read() {
	for _, j := range f.journals {
		if err := j.read(f.story.add); err != nil {
			f.Fatal(err)
		}
	}
}

// await returns when, since a time, each key has seen so many grants, and each of
// the given processes has had some of each kind.
func (f *fleet) await(grants int, since int64, alive ...int) {
	f.Helper()
	missing := ""
	redistest.Eventually(f, 20*time.Second, func() bool {
		f.read()
		count := map[string]int{}
		for _, s := range f.story.spans {
			if s.result == OK && s.asked >= since {
				count[s.key]++
				count[fmt.Sprintf("process %d, %c", s.process, s.key[0])]++
			}
		}
		missing = ""
		need := func(what string, n int) {
			if count[what] < n {
				missing += fmt.Sprintf(" %s: %d of %d", what, count[what], n)
			}
		}
		for _, key := range keys {
			need(key, grants)
		}
		for _, p := range alive {
			for _, kind := range "mrs" {
				need(fmt.Sprintf("process %d, %c", p, kind), grants/processes)
			}
		}
		return missing == ""
	}, "%v", lazy(func() string { return "there were enough grants:" + missing }))
}

// lazy is a text that is made when it is printed.
type lazy func() string

func (l lazy) String() string { return l() }

// keep makes a process keep the next hold of each kind, and returns when it has
// them.
func (f *fleet) keep(victim int) {
	f.Helper()
	f.workers[victim].Send("keep")
	for kinds, late := map[byte]bool{}, time.After(20*time.Second); len(kinds) < 3; {
		select {
		case key := <-f.workers[victim].Lines():
			if key == "" {
				f.Fatal("the process has ended")
			}
			kinds[key[0]] = true
		case <-late:
			f.Fatalf("the process has got holds of no kinds but %v", kinds)
		}
	}
}

// resize changes the size of s1 until the returned function is called.
func (f *fleet) resize() (stop func()) {
	s := semaphore.NewWeighted(f.server.Client(f), "s1", permits)
	random := rand.New(rand.NewPCG(f.seed, 1<<32))
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			n := smallest + random.Int64N(permits)
			op := porcupine.Operation{ClientId: processes * len(keys) * 2, Input: Request{Act: Resize, N: n}, Call: now()}
			if err := s.Resize(context.Background(), n); err != nil {
				f.Errorf("resize: %v", err)
			}
			op.Output, op.Return = Answer{Result: OK}, now()
			f.story.resizes = append(f.story.resizes, op)
			time.Sleep(time.Duration(random.Int64N(int64(60 * time.Millisecond))))
		}
	})
	stop = func() {
		cancel()
		done.Wait()
	}
	f.Cleanup(stop) // before the client is closed
	return stop
}

// stop ends the processes but for those that are dead, and reads the last of their
// journals.
func (f *fleet) stop(dead ...int) {
	f.Helper()
	for i, w := range f.workers {
		if !slices.Contains(dead, i) {
			w.Send("stop")
		}
	}
	for i, w := range f.workers {
		if err := w.Wait(); err != nil && !slices.Contains(dead, i) {
			f.Errorf("process %d: %v", i, err)
		}
	}
	f.read()
}

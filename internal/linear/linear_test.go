package linear

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

const (
	// enough grants of each key there must be before a fault, during it and after it.
	enough = 30
	// victim is the process that a fault strikes, where it strikes one.
	victim = 0
)

var others = []int{1, 2, 3}

// run has a fleet work before, during and after a fault, and checks its histories.
func run(t *testing.T, addr func(*redistest.Server) func(int) string, fault func(*fleet) (dead []int)) *fleet {
	t.Helper()
	t.Parallel()
	s := redistest.Start(t)
	f := launch(t, s, addr(s))
	resized := f.resize()
	f.await(enough, 0, append(others, victim)...)
	f.from = now()
	dead := fault(f)
	f.to = now()
	alive := others
	if len(dead) == 0 {
		alive = append(others, victim)
	}
	f.await(enough, f.to, alive...)
	resized()
	f.stop(dead...)
	f.check()
	return f
}

// check holds the history of each key against its model.
func (f *fleet) check() {
	f.Helper()
	f.sound()
	for _, key := range keys {
		model := map[byte]func() porcupine.Model{
			'm': Mutex, 'r': RWMutex, 's': func() porcupine.Model { return Semaphore(permits) },
		}[key[0]]()
		history := f.story.history(key)
		start := time.Now()
		err := Check(model, history)
		t := f.story.tally(key, history)
		f.Logf("%s: %v; checked in %v", key, t, time.Since(start).Round(time.Millisecond))
		if err != nil {
			f.Errorf("%s: %v", key, err)
		}
		if t.changes < enough {
			f.Errorf("%s went from process to process only %d times", key, t.changes)
		}
	}
}

// sound checks what no order of operations is needed for.
func (f *fleet) sound() {
	for _, s := range f.story.spans {
		id := fmt.Sprintf("%s #%d %+v", s.key, s.hold, s.want)
		size := strings.Contains(s.err, semaphore.ErrSize.Error()) && s.want.N <= smallest
		switch {
		case s.result == Locked && !s.want.Try:
			f.Errorf("%s did not wait", id)
		case s.result == Failed && !s.want.Try && !strings.Contains(s.err, "context "),
			size && (s.result == Size || sizeErrorsAreOwn):
			f.Errorf("%s: %s", id, s.err)
		case s.told != 0 && s.believed > s.told:
			f.Errorf("%s was believed in after its loss was told", id)
		case s.told != 0 && s.end != Lost:
			f.Errorf("%s was lost, and its release said %s", id, s.end)
		}
	}
}

// judged is how many tries were refused without an excuse, on the key of each kind
// that is only tried.
func (f *fleet) judged() (n []int) {
	for _, key := range keys {
		if onlyTried(key) {
			n = append(n, f.story.tally(key, f.story.history(key)).judged)
		}
	}
	return n
}

// lostTo counts the holds, by kind, that a process had when the fault began and
// that were then lost, or are without an end.
func (f *fleet) lostTo(process int64, end Result) map[byte]int {
	n := map[byte]int{}
	for _, s := range f.story.spans {
		if s.process == process && s.result == OK && s.answered <= f.to && s.end == end && (s.released == 0 || s.released >= f.from) {
			n[s.key[0]]++
		}
	}
	return n
}

// struck checks that the fault has hit a hold of each kind.
func (f *fleet) struck(end Result) {
	f.Helper()
	if n := f.lostTo(victim, end); len(n) < 3 {
		f.Errorf("the fault has hit no hold of some kinds: %v", n)
	}
}

// TestQuiet has no faults. It goes on until tries have failed for no other reason
// than that somebody held.
func TestQuiet(t *testing.T) {
	run(t, direct, func(f *fleet) []int {
		const some = 10 // most have an excuse
		for end := time.Now().Add(20 * time.Second); slices.Min(f.judged()) < some; f.await(enough, now()) {
			if time.Now().After(end) {
				t.Fatalf("only %d tries failed without an excuse: that shows little", f.judged())
			}
		}
		return nil
	})
}

// TestKilled kills a process with holds of all kinds.
func TestKilled(t *testing.T) {
	f := run(t, direct, func(f *fleet) []int {
		f.keep(victim)
		f.workers[victim].Kill()
		f.await(enough, now(), others...)
		return []int{victim}
	})
	f.struck("")
}

// TestStopped stops a process with holds of all kinds, and lets it go on when they
// are others'.
func TestStopped(t *testing.T) {
	f := run(t, direct, func(f *fleet) []int {
		f.keep(victim)
		f.workers[victim].Pause()
		f.await(enough, now()+int64(ttl), others...)
		f.workers[victim].Continue()
		return nil
	})
	f.struck(Lost)
}

// TestCut closes the connections of all processes again and again, loses requests,
// replies and messages.
func TestCut(t *testing.T) {
	var proxy *redistest.Proxy
	run(t, func(s *redistest.Server) func(int) string {
		proxy = redistest.NewProxy(t, s.Addr())
		return func(int) string { return proxy.Addr() }
	}, func(f *fleet) []int {
		for range 4 {
			since := now()
			for range 3 {
				proxy.CutNextReply("eval")
				proxy.CutNextRequest("eval")
			}
			proxy.DropMessages(3)
			f.await(enough/5, since)
			proxy.CloseAll()
		}
		return nil
	})
	if n := proxy.Fired(); n.Closed < 4*processes || n.RepliesCut < 10 || n.RequestsCut < 10 || n.MessagesDropped < 10 {
		t.Errorf("the proxy did only %+v", n)
	}
}

// TestCutOff keeps one process away from the server for longer than its TTL, and
// then lets all arrive that was sent meanwhile.
func TestCutOff(t *testing.T) {
	var proxy *redistest.Proxy
	f := run(t, func(s *redistest.Server) func(int) string {
		proxy = redistest.NewProxy(t, s.Addr())
		return func(process int) string {
			if process == victim {
				return proxy.Addr()
			}
			return s.Addr()
		}
	}, func(f *fleet) []int {
		f.keep(victim)
		proxy.Blackhole(true)
		f.await(enough, now()+int64(ttl), others...)
		proxy.Blackhole(false)
		return nil
	})
	f.struck(Lost)
	if n := proxy.Fired(); n.Held == 0 {
		t.Errorf("the proxy did only %+v", n)
	}
}

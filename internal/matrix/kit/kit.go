// Package kit has helpers for the tests of internal/matrix and of the public packages. The library treats each client as a
// process of its own.
package kit

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

const (
	// Slack is added to each bound for a busy machine.
	Slack = 600 * time.Millisecond
	// Ample is a TTL longer than any stall of the machine. Use a shorter TTL only if the test waits
	// for its end.
	Ample = 10 * time.Second
	// Poll is the maximum delay of a hand-over by a lost message.
	Poll = lease.MaxPollInterval
	// Silence is the read timeout of an [Impatient] client.
	Silence = 300 * time.Millisecond
)

// Impatient is an option for clients whose replies get lost.
func Impatient(o *redis.Options) { o.ReadTimeout = Silence }

// Must panics on an error.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// RunTogether runs all subtests at the same time. They mostly wait, so the limit of parallel tests, the
// number of processors, is too low for them.
func RunTogether[V any](t *testing.T, cases map[string]V, run func(*testing.T, V)) {
	var wg sync.WaitGroup
	for name, v := range cases {
		wg.Go(func() { t.Run(name, func(t *testing.T) { run(t, v) }) })
	}
	wg.Wait()
}

// StartWithProxy starts a server, and a proxy in front of it.
func StartWithProxy(t *testing.T) (*redistest.Server, *redistest.Proxy) {
	t.Helper()
	s := redistest.Start(t)
	return s, redistest.NewProxy(t, s.Addr())
}

// ExpectFault checks that a fault took place.
func ExpectFault(t *testing.T, otherwise string, n int64) {
	t.Helper()
	if n == 0 {
		t.Error(otherwise)
	}
}

// CheckBound checks the time since start against the bound.
func CheckBound(t *testing.T, desc string, start time.Time, bound time.Duration) {
	t.Helper()
	redistest.CheckDuration(t, desc, start, bound, Slack)
}

// Receive receives a value within the bound from start.
func Receive[V any](t *testing.T, desc string, c <-chan V, start time.Time, bound time.Duration) V {
	t.Helper()
	select {
	case v := <-c:
		CheckBound(t, desc, start, bound)
		return v
	case <-time.After(redistest.Patience):
		t.Fatalf("%s did not end, the bound is %v", desc, bound)
		panic("unreachable")
	}
}

// ExpectNone checks that no value arrives within d.
func ExpectNone[V any](t *testing.T, desc string, c <-chan V, d time.Duration) {
	t.Helper()
	select {
	case v := <-c:
		t.Fatalf("%s: got %v", desc, v)
	case <-time.After(d):
	}
}

// A Hold is a lease of any package.
type Hold interface {
	Done() <-chan struct{}
	Err() error
	Fence() int64
}

// ExpectKept checks that a hold lasts for d.
func ExpectKept(t *testing.T, l Hold, d time.Duration) {
	t.Helper()
	select {
	case <-l.Done():
		t.Errorf("the hold ended: %v", l.Err())
	case <-time.After(d):
	}
}

// ExpectFencesGrow checks that the fences of holds grow.
func ExpectFencesGrow(t *testing.T, holds ...Hold) {
	t.Helper()
	for i, l := range holds[1:] {
		if l.Fence() <= holds[i].Fence() {
			t.Errorf("fence %d after %d", l.Fence(), holds[i].Fence())
		}
	}
}

// ExpectLoss waits for the end of a hold, which must come within the bound from start. It then checks
// that all methods report the loss. It calls no method of the lease before done is closed, because
// such a call may detect the end by itself.
func ExpectLoss(t *testing.T, l Hold, release func() error, done <-chan struct{}, start time.Time, bound time.Duration) {
	t.Helper()
	Receive(t, "to report the loss", done, start, bound)
	if err := l.Err(); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Err after the loss is %v", err)
	}
	if err := release(); !errors.Is(err, lease.ErrLost) {
		t.Errorf("the release after the loss returned %v", err)
	}
}

// AwaitKeyQueue waits until n processes are in the queue of a key.
func AwaitKeyQueue(t *testing.T, s *redistest.Server, key string, n int64) {
	t.Helper()
	redistest.Eventually(t, 5*time.Second, func() bool { return s.Do(t, "ZCARD", "baton:{"+key+"}:queue") == n }, "the queue of %[2]s has %[1]d entries", n, key)
}

// ExpectNothingLeft checks that left returns "" within the bound, because Redis is empty.
func ExpectNothingLeft(t *testing.T, within time.Duration, left func() string) {
	t.Helper()
	redistest.Eventually(t, within+Slack, func() bool { return left() == "" }, "Redis is empty, except for %v", lazyText(left))
}

// lazyText is a text that is computed when it is printed.
type lazyText func() string

func (f lazyText) String() string { return f() }

// A Loss is a way to lose one command or its reply.
type Loss struct {
	Lose  func(*redistest.Proxy)
	Count func(redistest.Faults) int64
	Wait  time.Duration // how long an [Impatient] client waits before it notices
}

// Losses has all ways to lose a command or its reply.
var Losses = map[string]Loss{
	"RequestCut": {func(p *redistest.Proxy) { p.CutNextRequest("evalsha") }, func(f redistest.Faults) int64 { return f.RequestsCut }, 0}, // row 31
	"ReplyCut":   {func(p *redistest.Proxy) { p.CutNextReply("evalsha") }, func(f redistest.Faults) int64 { return f.RepliesCut }, 0},    // row 32
	"ReplyLost":  {func(p *redistest.Proxy) { p.LoseNextReply("evalsha") }, func(f redistest.Faults) int64 { return f.RepliesLost }, Silence},
}

// A Worker is a test helper for a worker process.
type Worker struct {
	*redistest.Worker
	t *testing.T
}

// Spawn starts a worker, with a server and a TTL in its environment: see [FromEnv].
func Spawn(t *testing.T, s *redistest.Server, name string, ttl time.Duration, env ...string) Worker {
	t.Helper()
	return Worker{redistest.Spawn(t, name, append(env, "URL="+s.URL(), "TTL="+ttl.String())...), t}
}

// FromEnv returns a client of the server, and the TTL, of [Spawn].
func FromEnv() (*redis.Client, time.Duration) {
	o, err := redis.ParseURL(os.Getenv("URL"))
	Must(err)
	ttl, err := time.ParseDuration(os.Getenv("TTL"))
	Must(err)
	return redis.NewClient(o), ttl
}

// Expect waits for a line that begins with the word, and returns the rest of the line.
func (w Worker) Expect(word string) string {
	w.t.Helper()
	select {
	case line := <-w.Lines():
		rest, ok := strings.CutPrefix(line, word)
		if !ok {
			w.t.Fatalf("the worker printed %q, want %q", line, word)
		}
		return strings.TrimSpace(rest)
	case <-time.After(redistest.Patience):
		w.t.Fatalf("the worker did not print %q", word)
		return ""
	}
}

// Request sends a line, and checks the reply.
func (w Worker) Request(line, word, want string) {
	w.t.Helper()
	w.Send(line)
	if got := w.Expect(word); got != want {
		w.t.Errorf("%s: %s %s, want %s", line, word, got, want)
	}
}

// ExpectHeld waits until the worker holds the key, and returns the fence.
func (w Worker) ExpectHeld() (fence int64) {
	w.t.Helper()
	fence, err := strconv.ParseInt(w.Expect("held"), 10, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	return fence
}

// Serve is the command loop of a worker that holds the key. It prints "held" and the fence, and then
// executes the lines of its input: "spin" prints the first result of Err after the process was stopped,
// "err" and "release" print the results of these calls.
func Serve(l Hold, release func() error, ttl time.Duration) {
	fmt.Println("held", l.Fence())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "spin":
			last := time.Now()
			for fmt.Println("spinning"); ; {
				now := time.Now()
				err := l.Err()
				if now.Sub(last) > ttl {
					fmt.Println("first", Describe(err))
					break
				}
				last = now
			}
		case "err":
			fmt.Println("err", Describe(l.Err()))
		case "release":
			fmt.Println("released", Describe(release()))
		}
	}
}

// Describe returns the text of an error in a worker's output.
func Describe(err error) string {
	switch {
	case err == nil:
		return "nil"
	case errors.Is(err, lease.ErrLost):
		return "lost"
	}
	return err.Error()
}

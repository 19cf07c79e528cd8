// Package kit is what the tests of internal/matrix and of the public packages share. To the library, each client is a process
// of its own.
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
	// Slack is what a busy machine may add to a bound.
	Slack = 600 * time.Millisecond
	// Ample is a TTL that a stall of the machine does not use up. Only those that a test waits for
	// are shorter.
	Ample = 10 * time.Second
	// Poll is how long a lost message delays a hand-over at most.
	Poll = lease.MaxPollInterval
	// Silence is how long an [Impatient] client waits for a reply.
	Silence = 300 * time.Millisecond
)

// Impatient is an option of clients that lose replies.
func Impatient(o *redis.Options) { o.ReadTimeout = Silence }

// Must panics on an error.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// Together runs subtests at the same time. They mostly wait, so that the number of processors,
// which bounds parallel tests, says nothing of how many can.
func Together[V any](t *testing.T, cases map[string]V, run func(*testing.T, V)) {
	var wg sync.WaitGroup
	for name, v := range cases {
		wg.Go(func() { t.Run(name, func(t *testing.T) { run(t, v) }) })
	}
	wg.Wait()
}

// Proxied starts a server, and a proxy before it.
func Proxied(t *testing.T) (*redistest.Server, *redistest.Proxy) {
	t.Helper()
	s := redistest.Start(t)
	return s, redistest.NewProxy(t, s.Addr())
}

// Fired checks that a fault took place.
func Fired(t *testing.T, otherwise string, n int64) {
	t.Helper()
	if n == 0 {
		t.Error(otherwise)
	}
}

// Bounded checks how long it took since start.
func Bounded(t *testing.T, what string, start time.Time, bound time.Duration) {
	t.Helper()
	redistest.CheckDuration(t, what, start, bound, Slack)
}

// Receive takes a value within the bound from start.
func Receive[V any](t *testing.T, what string, c <-chan V, start time.Time, bound time.Duration) V {
	t.Helper()
	select {
	case v := <-c:
		Bounded(t, what, start, bound)
		return v
	case <-time.After(redistest.Patience):
		t.Fatalf("%s did not end, the bound is %v", what, bound)
		panic("unreachable")
	}
}

// Silent checks that nothing comes for so long.
func Silent[V any](t *testing.T, what string, c <-chan V, d time.Duration) {
	t.Helper()
	select {
	case v := <-c:
		t.Fatalf("%s: got %v", what, v)
	case <-time.After(d):
	}
}

// A Hold is a lease of any package.
type Hold interface {
	Done() <-chan struct{}
	Err() error
	Fence() int64
}

// Keeps checks that a hold lasts for so long.
func Keeps(t *testing.T, l Hold, d time.Duration) {
	t.Helper()
	select {
	case <-l.Done():
		t.Errorf("the hold ended: %v", l.Err())
	case <-time.After(d):
	}
}

// Follows checks that the fences of holds grow.
func Follows(t *testing.T, holds ...Hold) {
	t.Helper()
	for i, l := range holds[1:] {
		if l.Fence() <= holds[i].Fence() {
			t.Errorf("fence %d after %d", l.Fence(), holds[i].Fence())
		}
	}
}

// Loses waits for the end of a hold that is not to last longer than the bound from start, and
// checks all that then says so. It does not call a method of the lease before done is closed: that
// may notice the end by itself.
func Loses(t *testing.T, l Hold, release func() error, done <-chan struct{}, start time.Time, bound time.Duration) {
	t.Helper()
	Receive(t, "to be told of the loss", done, start, bound)
	if err := l.Err(); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Err after the loss is %v", err)
	}
	if err := release(); !errors.Is(err, lease.ErrLost) {
		t.Errorf("the release after the loss returned %v", err)
	}
}

// Queued waits until n processes are in the queue of a key.
func Queued(t *testing.T, s *redistest.Server, key string, n int64) {
	t.Helper()
	redistest.Eventually(t, 5*time.Second, func() bool { return s.Do(t, "ZCARD", "baton:{"+key+"}:queue") == n }, "%d are in the queue of %s", n, key)
}

// Rests checks that within the bound nothing is left in Redis, as left says.
func Rests(t *testing.T, within time.Duration, left func() string) {
	t.Helper()
	redistest.Eventually(t, within+Slack, func() bool { return left() == "" }, "nothing is left in Redis, but there was %v", lazy(left))
}

// lazy is a text that is made when it is printed.
type lazy func() string

func (f lazy) String() string { return f() }

// A Loss is how one command, or its reply, gets lost.
type Loss struct {
	Lose  func(*redistest.Proxy)
	Fired func(redistest.Faults) int64
	Wait  time.Duration // of an [Impatient] client that is not told
}

// Losses are the ways in which that happens.
var Losses = map[string]Loss{
	"RequestCut": {func(p *redistest.Proxy) { p.CutNextRequest("evalsha") }, func(f redistest.Faults) int64 { return f.RequestsCut }, 0}, // row 31
	"ReplyCut":   {func(p *redistest.Proxy) { p.CutNextReply("evalsha") }, func(f redistest.Faults) int64 { return f.RepliesCut }, 0},    // row 32
	"ReplyLost":  {func(p *redistest.Proxy) { p.LoseNextReply("evalsha") }, func(f redistest.Faults) int64 { return f.RepliesLost }, Silence},
}

// A Worker is another process.
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

// Says waits for a line that begins with the word, and returns the rest.
func (w Worker) Says(word string) string {
	w.t.Helper()
	select {
	case line := <-w.Lines():
		rest, ok := strings.CutPrefix(line, word)
		if !ok {
			w.t.Fatalf("the worker says %q, not %q", line, word)
		}
		return strings.TrimSpace(rest)
	case <-time.After(redistest.Patience):
		w.t.Fatalf("the worker does not say %q", word)
		return ""
	}
}

// Asked sends a line, and checks what the worker says then.
func (w Worker) Asked(line, word, want string) {
	w.t.Helper()
	w.Send(line)
	if got := w.Says(word); got != want {
		w.t.Errorf("%s: %s %s, not %s", line, word, got, want)
	}
}

// Held waits until the worker says that it holds the key, with which fence.
func (w Worker) Held() (fence int64) {
	w.t.Helper()
	fence, err := strconv.ParseInt(w.Says("held"), 10, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	return fence
}

// Serve is the rest of a worker that holds the key. It says "held" and the fence, and then does
// what its input tells: "spin" looks for the first call of Err after the process stood still, "err"
// and "release" say what comes of them.
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

// Describe is an error in a worker's words.
func Describe(err error) string {
	switch {
	case err == nil:
		return "nil"
	case errors.Is(err, lease.ErrLost):
		return "lost"
	}
	return err.Error()
}

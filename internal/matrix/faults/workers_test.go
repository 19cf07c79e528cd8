package faults

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// workers has the programs of worker processes, by name.
var workers = map[string]func(){
	"locker":      locker,
	"reader":      reader,
	"busy locker": busyLocker,
	"lingerer":    lingerer,
	"tasks":       tasks,
}

// A worker is a process of the test's own binary.
type worker struct {
	*redistest.Worker
	t *testing.T
}

// spawn starts a worker, with a server and a TTL in its environment.
func spawn(t *testing.T, s *redistest.Server, name string, ttl time.Duration, env ...string) worker {
	t.Helper()
	return worker{redistest.Spawn(t, name, append(env, "URL="+s.URL(), "TTL="+ttl.String())...), t}
}

// environment returns, in a worker, a client of the server, and the TTL.
func environment() (*redis.Client, time.Duration) {
	o, err := redis.ParseURL(os.Getenv("URL"))
	must(err)
	ttl, err := time.ParseDuration(os.Getenv("TTL"))
	must(err)
	return redis.NewClient(o), ttl
}

// expect waits for a line that begins with the word, and returns the rest of the line.
func (w worker) expect(word string) string {
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

// request sends a line, and checks the reply.
func (w worker) request(line, want string) {
	w.t.Helper()
	w.Send(line)
	w.expect(want)
}

// A fence is the fence of a lease of another process.
type fence int64

func (f fence) Fence() int64 { return int64(f) }

// expectHeld waits until the worker holds the key.
func (w worker) expectHeld() fence {
	w.t.Helper()
	n, err := strconv.ParseInt(w.expect("held"), 10, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	return fence(n)
}

func locker() {
	rdb, ttl := environment()
	l, err := mutexOf(rdb, ttl).LockContext(context.Background())
	must(err)
	serve(l, ttl)
}

func reader() {
	rdb, ttl := environment()
	l, err := rwOf(rdb, ttl).RLockContext(context.Background())
	must(err)
	serve(l, ttl)
}

// busyLocker holds the key on one processor. One goroutine keeps the processor busy, and many others
// wait for the key.
func busyLocker() {
	rdb, ttl := environment()
	m := mutexOf(rdb, ttl)
	l, err := m.LockContext(context.Background())
	must(err)
	for range 10_000 {
		m.LockChan(context.Background())
	}
	go func() {
		//lint:ignore SA5002 the loop keeps the processor busy
		for {
		}
	}()
	runtime.Gosched()
	serve(l, ttl)
}

// serve is the command loop of a worker that holds the key. It prints "held" and the fence, and then
// executes the lines of its input: "spin" prints the first result of Err after the process was stopped,
// "err" and "unlock" print the results of these calls.
func serve(l *mutex.Lease, ttl time.Duration) {
	fmt.Println("held", l.Fence())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "spin":
			last := time.Now()
			for fmt.Println("spinning"); ; {
				now := time.Now()
				err := l.Err()
				if now.Sub(last) > ttl {
					fmt.Println("first", describe(err))
					break
				}
				last = now
			}
		case "err":
			fmt.Println("err", describe(l.Err()))
		case "unlock":
			fmt.Println("unlock", describe(l.Unlock()))
		}
	}
}

func describe(err error) string {
	if errors.Is(err, mutex.ErrLost) {
		return "lost"
	}
	return fmt.Sprint(err)
}

// lingerer locks the key repeatedly, and keeps the claim between its short holds. It prints "lingers"
// after some holds. After a wait or a stop longer than the TTL, it prints "held" and the fence.
func lingerer() {
	rdb, ttl := environment()
	m := mutexOf(rdb, ttl)
	m.Linger = ttl / 10
	last := time.Now()
	for i := 0; ; i++ {
		l, err := m.LockContext(context.Background())
		must(err)
		if time.Since(last) > ttl && l.Err() == nil {
			fmt.Println("held", l.Fence())
		}
		last = time.Now()
		_ = l.Unlock() // returns ErrLost if the process was stopped
		if i == 20 {
			fmt.Println("lingers")
		}
		time.Sleep(ttl / 100)
	}
}

// tasks runs a task of each kind, and prints "claimed".
func tasks() {
	rdb, ttl := environment()
	wg := groupOf(rdb, ttl)
	_, err := wg.Claim(context.Background())
	must(err)
	must(wg.Do(context.Background(), func(context.Context) error {
		fmt.Println("claimed")
		select {}
	}))
}

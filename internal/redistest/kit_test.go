package redistest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// These tests look for errors of the kit that would let other tests pass: a fault that does not take
// place, a count that is too low, a skipped test.

func TestMain(m *testing.M) { Main(m, map[string]func(){"server": serve}) }

// serve is a worker that runs a server.
func serve() {
	must(Program(func(tb testing.TB) {
		fmt.Println(Start(tb).Addr())
		select {}
	}))
}

var ctx = context.Background()

func ping(rdb *redis.Client) error { return rdb.Ping(ctx).Err() }

// oneAttempt is an option: the client makes one attempt, and waits at most d for the reply.
func oneAttempt(d time.Duration) func(*redis.Options) {
	return func(o *redis.Options) { o.MaxRetries, o.DialerRetries, o.ReadTimeout = -1, 1, d }
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestStatsCountEachCommand(t *testing.T) {
	s := Start(t)
	rdb := s.Client(t, Patient)
	before := s.Stats(t)
	script := redis.NewScript(`redis.call('set', KEYS[1], 1); redis.call('get', KEYS[1])
		redis.call('get', KEYS[1]); return redis.call('publish', 'c', 'm')`)
	for range 3 {
		must(script.Run(ctx, rdb, []string{"k"}).Err())
	}
	sub := rdb.Subscribe(ctx, "c", "d")
	defer sub.Close()
	Eventually(t, 5*time.Second, func() bool { return s.Subscribers(t, "*") == 2 }, "two subscriptions")
	got := s.Stats(t).Since(before)
	expect(t, "scripts", got.Scripts(), int64(4)) // three EVALSHA, and one EVAL after NOSCRIPT
	expect(t, "published", got.Published(), int64(3))
	expect(t, "subscribes", got.Subscribes(), int64(1))
	expect(t, "requests", got.Requests(), int64(5))
	expect(t, "GET in scripts", got.Calls["get"], int64(6))
	expect(t, "requests when idle", s.Stats(t).Since(s.Stats(t)).Requests(), int64(0))
}

func TestMissingServerSkipsOrFails(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("BATON_REDIS_SERVER", "")
	for required, want := range map[string]string{"": "skipped: " + missing, "1": missing} {
		t.Setenv("BATON_REQUIRE_REDIS", required)
		err := Program(func(tb testing.TB) { Start(tb) })
		expect(t, "without a server", fmt.Sprint(err), want)
	}
}

func TestServersDieWithTheirStarter(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends a child with its parent")
	}
	Start(t) // skips the test if there is no server
	w := Spawn(t, "server", "TMPDIR="+t.TempDir())
	rdb := connect(t, options(<-w.Lines()), []func(*redis.Options){oneAttempt(Patience)})
	must(ping(rdb))
	w.Pause()
	w.Kill()
	if w.Wait() == nil {
		t.Error("Wait of a killed worker returns nil")
	}
	Eventually(t, 5*time.Second, func() bool { err := ping(rdb); return err != nil && !errors.Is(err, io.EOF) },
		"the server of a killed process ends")
	if err := Spawn(t, "missing").Wait(); err == nil {
		t.Error("Wait of a missing worker returns nil")
	}
}

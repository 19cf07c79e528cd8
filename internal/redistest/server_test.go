package redistest

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func ping(rdb *redis.Client) error { return rdb.Ping(context.Background()).Err() }

// once makes a client give up after one attempt.
func once(o *redis.Options) { o.MaxRetries, o.DialerRetries = -1, 1 }

func within(d time.Duration) func(*redis.Options) {
	return func(o *redis.Options) { once(o); o.ReadTimeout = d }
}

func TestServerLifecycle(t *testing.T) {
	s := Start(t, "--appendonly", "yes", "--appendfsync", "always")
	rdb := s.Client(t, once)
	ctx := context.Background()
	if err := rdb.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	pid := s.Pid()
	for _, end := range []func(){s.Stop, s.Kill, s.Kill, func() {}} {
		end()
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
		if s.Pid() == pid {
			t.Error("Restart kept the process")
		}
		pid = s.Pid()
		if v, err := s.Client(t).Get(ctx, "k").Result(); v != "v" || err != nil {
			t.Errorf("after a restart: %q, %v", v, err)
		}
	}
	s.Stop()
	if err := ping(rdb); err == nil {
		t.Error("a stopped server answers")
	}
	if s.Pid() != 0 {
		t.Error("a stopped server has a process")
	}
	if r := record(t, func(tb testing.TB) { s.Do(tb, "PING") }); r.fatal == "" {
		t.Error("Do works on a stopped server")
	}
}

func TestServerPause(t *testing.T) {
	s := Start(t)
	rdb := s.Client(t, within(50*time.Millisecond))
	for range 3 {
		s.Pause()
		if err := ping(rdb); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a paused server: %v", err)
		}
		s.Continue()
		Eventually(t, 5*time.Second, func() bool { return ping(rdb) == nil }, "the server goes on")
	}
	s.Pause()
	s.Stop() // must not wait for a process that stands still
	defer func() {
		if recover() == nil {
			t.Error("Pause of a stopped server did not panic")
		}
	}()
	s.Pause()
}

func TestServerStats(t *testing.T) {
	s := Start(t)
	rdb := s.Client(t)
	ctx := context.Background()
	before := s.Stats(t)
	script := redis.NewScript(`redis.call('set', KEYS[1], 1); redis.call('get', KEYS[1])
		redis.call('get', KEYS[1]); return redis.call('publish', 'c', 'm')`)
	for range 3 {
		if err := script.Run(ctx, rdb, []string{"k"}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	sub := rdb.Subscribe(ctx, "c", "d")
	defer sub.Close()
	Eventually(t, 5*time.Second, func() bool { return s.Subscribers(t, "*") == 2 }, "two subscriptions")
	got := s.Stats(t).Since(before)
	if got.Scripts() != 4 { // three EVALSHA, and one EVAL after NOSCRIPT
		t.Errorf("scripts: %v", got.Calls)
	}
	if got.Published() != 3 || got.Subscribes() != 1 || got.Requests() != 5 {
		t.Errorf("published, subscribes, requests: %v", got.Calls)
	}
	if got.Calls["get"] != 6 || got.Calls["set"] != 3 {
		t.Errorf("within scripts: %v", got.Calls)
	}
	if got.Connections != 2 || got.BytesIn == 0 || got.BytesOut == 0 {
		t.Errorf("%+v", got)
	}
	if again := s.Stats(t).Since(s.Stats(t)); again.Requests() != 0 {
		t.Errorf("idle: %v", again.Calls)
	}
	if n := s.ConnectedClients(t); n != 2 {
		t.Errorf("%d clients", n)
	}
}

func TestServerMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("BATON_REQUIRE_REDIS", "")
	if r := record(t, func(tb testing.TB) { Start(tb) }); r.skip != missing {
		t.Errorf("not skipped: %+v", r)
	}
	t.Setenv("BATON_REQUIRE_REDIS", "1")
	if r := record(t, func(tb testing.TB) { Start(tb) }); r.fatal != missing {
		t.Errorf("not failed: %+v", r)
	}
	if _, err := Launch(t.TempDir()); err == nil {
		t.Error("launched")
	}
}

func TestServersDieWithTheirStarter(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends a child with its parent")
	}
	Start(t) // skips where there is none
	w := Spawn(t, "server", "DIR="+t.TempDir())
	addr := <-w.Lines()
	rdb := connect(t, options(addr), []func(*redis.Options){once})
	if err := ping(rdb); err != nil {
		t.Fatal(err)
	}
	w.Kill()
	Eventually(t, 5*time.Second, func() bool { err := ping(rdb); return err != nil && !errors.Is(err, io.EOF) },
		"the server of a killed process ends")
}

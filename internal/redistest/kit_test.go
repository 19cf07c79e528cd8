package redistest

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

// These tests look for errors of the kit that would let other tests pass: a fault that does not take
// place, a count that is too low, a wait that ends early, a skipped test.

func TestMain(m *testing.M) { Main(m, map[string]func(){"server": serve}) }

// serve is a worker that runs a server.
func serve() {
	s, err := Launch(os.Getenv("DIR"))
	must(err)
	fmt.Println(s.Addr())
	select {}
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

// A recorder is a TB that records how a test would have ended.
type recorder struct {
	testing.TB
	fatal, skip string
}

func (r *recorder) Fatal(args ...any) { r.fatal = fmt.Sprint(args...); runtime.Goexit() }

func (r *recorder) Fatalf(format string, args ...any) { r.Fatal(fmt.Sprintf(format, args...)) }

func (r *recorder) Skip(args ...any) { r.skip = fmt.Sprint(args...); runtime.Goexit() }

// record runs f with a recorder. f may end early.
func record(t *testing.T, f func(testing.TB)) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r
}

func TestEventuallyFailsWhenTheTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		Eventually(t, time.Minute, func() bool { return time.Since(start) >= time.Second }, "a second passes")
		r := record(t, func(tb testing.TB) {
			Eventually(tb, time.Second, func() bool { return false }, "%d is %d", 1, 2)
		})
		expect(t, "fatal", r.fatal, "not within 1s: 1 is 2")
	})
}

func TestMiniExpiresInFakeTime(t *testing.T) {
	for range 2 { // the globals of go-redis must not bind it to the first bubble
		synctest.Test(t, func(t *testing.T) {
			rdb := MiniClient(t, Mini(t))
			must(rdb.Set(ctx, "k", "v", time.Hour).Err())
			time.Sleep(time.Hour - time.Nanosecond)
			expect(t, "before the TTL", rdb.Exists(ctx, "k").Val(), int64(1))
			time.Sleep(time.Nanosecond)
			expect(t, "after the TTL", rdb.Exists(ctx, "k").Val(), int64(0))
		})
	}
}

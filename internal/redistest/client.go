package redistest

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// options are go-redis's defaults without the commands that it would send on
// its own when it connects: those would be noise in counters and fault tests.
func options(addr string) *redis.Options {
	return &redis.Options{
		Addr:                     addr,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// connect makes a client which is closed when the test ends.
func connect(tb testing.TB, o *redis.Options, opts []func(*redis.Options)) *redis.Client {
	tb.Helper()
	for _, opt := range opts {
		opt(o)
	}
	rdb := redis.NewClient(o)
	// The test may have closed it already: then there is nothing to report.
	tb.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// Patient is an option for tests that count requests: the client waits for each reply. So a
// reply that is late on a busy machine costs no second request.
func Patient(o *redis.Options) { o.ReadTimeout = -1 }

// Sibling returns another client of the same server, which may be in a bubble: to the library, that is
// another process. It is [Patient] if rdb is.
func Sibling(tb testing.TB, rdb *redis.Client, opts ...func(*redis.Options)) *redis.Client {
	tb.Helper()
	o := *rdb.Options()
	if o.ReadTimeout == 0 { // as -1 is stored
		Patient(&o)
	}
	return connect(tb, &o, opts)
}

package redistest

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// options returns go-redis's defaults, without the commands that go-redis sends when it connects:
// they would disturb counters and fault tests.
func options(addr string) *redis.Options {
	return &redis.Options{
		Addr:                     addr,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// connect returns a client that is closed when the test ends.
func connect(tb testing.TB, o *redis.Options, opts []func(*redis.Options)) *redis.Client {
	tb.Helper()
	for _, opt := range opts {
		opt(o)
	}
	rdb := redis.NewClient(o)
	tb.Cleanup(func() { _ = rdb.Close() }) // the test may have closed it already
	return rdb
}

// Patient is an option for tests that count requests. The client waits for each reply without a
// timeout, so a late reply on a busy machine causes no second request.
func Patient(o *redis.Options) { o.ReadTimeout = -1 }

// Sibling returns another client of the same server, also inside a bubble. To the library, it is
// another process. It is [Patient] if rdb is.
func Sibling(tb testing.TB, rdb *redis.Client, opts ...func(*redis.Options)) *redis.Client {
	tb.Helper()
	o := *rdb.Options()
	if o.ReadTimeout == 0 { // go-redis stores -1 as 0
		Patient(&o)
	}
	return connect(tb, &o, opts)
}

package waitgroup_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// prefix is a hook that puts itself in front of every key of a script.
type prefix string

func (p prefix) DialHook(next redis.DialHook) redis.DialHook { return next }

func (p prefix) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (p prefix) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); strings.HasPrefix(cmd.Name(), "eval") {
			for i := range args[2].(int) {
				args[3+i] = string(p) + args[3+i].(string)
			}
		}
		return next(ctx, cmd)
	}
}

// Where a hook puts a prefix before each key, the message still ends the wait, and not the next poll.
func TestWaitWithKeyPrefix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		other := sibling(t, rdb)
		rdb.AddHook(prefix("tenant:"))
		other.AddHook(prefix("tenant:"))
		wg := waitgroup.New(rdb, "key")
		wg.Add(1)
		if n := other.Exists(t.Context(), "tenant:key").Val(); n != 1 {
			t.Fatal("the hook renames nothing")
		}
		done := waitgroup.New(other, "key").WaitChan(t.Context())
		time.Sleep(10 * time.Second) // it has subscribed, and polls
		start := time.Now()
		wg.Done()
		if err := <-done; err != nil || time.Since(start) > 0 {
			t.Errorf("%v after the round was over: %v", time.Since(start), err)
		}
	})
}

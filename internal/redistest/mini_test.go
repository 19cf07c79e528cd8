package redistest

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestMiniExpiresInFakeTime(t *testing.T) {
	for range 3 { // go-redis keeps globals, which must not tie it to the first bubble
		synctest.Test(t, func(t *testing.T) {
			rdb := MiniClient(t, Mini(t))
			ctx := context.Background()
			if err := rdb.Set(ctx, "k", "v", time.Hour).Err(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour - time.Nanosecond)
			if n := rdb.Exists(ctx, "k").Val(); n != 1 {
				t.Error("gone too early")
			}
			time.Sleep(time.Nanosecond)
			if n := rdb.Exists(ctx, "k").Val(); n != 0 {
				t.Error("there after its time")
			}
		})
	}
}

func TestMiniPubSub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := Mini(t)
		rdb, other := MiniClient(t, m), MiniClient(t, m)
		ctx := context.Background()
		sub := rdb.Subscribe(ctx, "c")
		defer sub.Close()
		if _, err := sub.Receive(ctx); err != nil {
			t.Fatal(err)
		}
		// Nobody reads while these are published: publishing must not wait.
		for range 1000 {
			if n, err := other.Publish(ctx, "c", "m").Result(); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		for range 1000 {
			if msg, err := sub.ReceiveMessage(ctx); err != nil || msg.Payload != "m" {
				t.Fatal(msg, err)
			}
		}
		start := time.Now()
		if _, err := sub.ReceiveTimeout(ctx, time.Minute); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		if d := time.Since(start); d != time.Minute {
			t.Errorf("silence of a minute took %v", d)
		}
	})
}

func TestEachServer(t *testing.T) {
	ran := 0
	EachServer(t, func(t *testing.T, rdb *redis.Client) {
		ran++
		ctx := context.Background()
		if err := rdb.Set(ctx, "k", "v", 5*time.Millisecond).Err(); err != nil {
			t.Fatal(err)
		}
		Eventually(t, 5*time.Second, func() bool { return rdb.Exists(ctx, "k").Val() == 0 }, "the key expires")
	})
	if ran == 0 {
		t.Error("it ran on no server")
	}
}

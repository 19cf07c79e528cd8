package mutex_test

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// FuzzGarbage writes arbitrary texts into the keys of a free lock. The next try may fail, but the
// lock never has two holders, and fences never shrink.
func FuzzGarbage(f *testing.F) {
	for _, text := range []string{
		"", "x", "0", "-1", "inf", "nan", "1e300", "-1e300", "0x7fffffffffffffff", "9007199254740992", "9223372036854775808", "1753862400123456.5",
		"s 3 3 0 0 1 3900000 1", "r 1099511627776 1099511627776 0 0 1 3900000 1", "r 1099511627776 1099511627776 0 0 99999999999999999999999 3900000 1",
		"r 1099511627776 1099511627776 1 1 1 3900000 1", "1 2 3600 channel", "limit 1 1 1 1",
	} {
		for where := range byte(6) {
			f.Add(where, text)
		}
	}
	s := redistest.Start(f)
	a, b := s.Client(f), s.Client(f)
	f.Fuzz(func(t *testing.T, where byte, text string) {
		must(a.FlushAll(t.Context()).Err())
		put := []func(pipe redis.Pipeliner){
			func(pipe redis.Pipeliner) { pipe.Set(t.Context(), "baton:{key}:fence", text, time.Hour) },
			func(pipe redis.Pipeliner) {
				pipe.ZAdd(t.Context(), "baton:{key}:queue", redis.Z{Score: 1, Member: text})
			},
			func(pipe redis.Pipeliner) {
				pipe.ZAdd(t.Context(), "baton:{key}:queue", redis.Z{Score: 1, Member: "token"})
				pipe.HSet(t.Context(), "baton:{key}:waiters", "token", text)
			},
			func(pipe redis.Pipeliner) { pipe.HSet(t.Context(), "key", "state", text) },
			func(pipe redis.Pipeliner) {
				pipe.HSet(t.Context(), "key", "state", "r 1099511627776 1099511627776 0 0 1 3900000 1", "token", text)
			},
			func(pipe redis.Pipeliner) {
				pipe.ZAdd(t.Context(), "baton:{key}:queue", redis.Z{Score: 1, Member: "token"})
				pipe.HSet(t.Context(), "baton:{key}:waiters", "token", text)
			},
		}[int(where)%6]
		if _, err := a.Pipelined(t.Context(), func(pipe redis.Pipeliner) error { put(pipe); return nil }); err != nil {
			t.Fatal(err)
		}
		try := func(rdb *redis.Client) (*mutex.Lease, error) {
			return kinds[where%6/3].of(rdb, "key", standard).tryLockContext(t.Context())
		}
		first, err := try(a)
		if err != nil {
			if !errors.Is(err, mutex.ErrLocked) && !strings.HasPrefix(err.Error(), `baton: try to lock "key": `) {
				t.Errorf("%d, %q: %v", where%6, text, err)
			}
			return
		}
		if second, err := try(b); second != nil || err == nil {
			t.Errorf("%d, %q: the lock has two holders", where%6, text)
		}
		if err := first.Unlock(); err != nil {
			t.Errorf("%d, %q: Unlock: %v", where%6, text, err)
		}
		second, err := try(b)
		if err != nil {
			if !errors.Is(err, mutex.ErrLocked) {
				t.Errorf("%d, %q: after Unlock: %v", where%6, text, err)
			}
			return
		}
		if second.Fence() <= first.Fence() || first.Fence() <= 0 {
			t.Errorf("%d, %q: fence %d after %d", where%6, text, second.Fence(), first.Fence())
		}
		if err := second.Unlock(); err != nil {
			t.Errorf("%d, %q: Unlock: %v", where%6, text, err)
		}
	})
}

// FuzzStoredValue writes arbitrary fields into the value key of a free mutex. An Election, a Once and
// a Flight accept only values of their own. Otherwise they see no value, or describe the error.
func FuzzStoredValue(f *testing.F) {
	numbers := []string{
		"", "x", "0", "-1", "+1", "1e300", "inf", "nan", "0x7fffffffffffff", " 1", "9007199254740992", "9223372036854775807",
		"9223372036854775808", "-9223372036854775809", "1753862400123456.5", "4102444800000000", strings.Repeat("9", 400),
	}
	texts := []string{"", "x", "+", "+v", "-", "1753862400123456 1000 ", "1 1 failed", "+1 2 x", "1 2", "9223372036854775808 1 ", "\xff\x00 1 2"}
	for primitive := range byte(3) {
		for i, text := range texts {
			for j, n := range append([]string{"1753862400123456"}, numbers...) {
				fields := [4]string{"1795955097726419000", "1753862400123456", "4102444800000000", "0"}
				if j > 0 {
					fields[(i+j)%4] = n
				}
				f.Add(primitive, byte(0), "baton:1000:host:1:process:1", "", fields[0], fields[1], fields[2], fields[3], text)
			}
			f.Add(primitive, byte(0), "token", "", "1", "1", "-1", "0", text)
			f.Add(primitive, byte(0), "token", "", "1", "4102444800000000", "1", "0", text)
			f.Add(primitive, byte(1<<i), "", "1753862400123456", "1", "1", "-1", "0", text)
		}
	}
	s := redistest.Start(f)
	a, b := s.Client(f), s.Client(f)
	f.Fuzz(func(t *testing.T, primitive, missing byte, token, reset, fence, writtenAt, freshUntil, stale, data string) {
		ctx, cancel := context.WithTimeout(t.Context(), redistest.Patience)
		defer cancel()
		must(a.FlushAll(ctx).Err())
		ours := true
		for i, field := range []struct {
			name, value string
			digits      int // maximum, for a number
		}{
			{"fence", fence, 19}, {"written_at", writtenAt, 16}, {"fresh_until", freshUntil, 17}, {"stale", stale, 13},
			{"token", token, 0}, {"reset", reset, 0}, {"value", data, 0},
		} {
			if missing>>i&1 == 1 {
				ours = ours && field.name != "value"
				continue
			}
			ours = ours && (field.digits == 0 || len(field.value) <= field.digits && regexp.MustCompile(`^-?\d+$`).MatchString(field.value))
			must(a.HSet(ctx, "baton:{key}:value", field.name, field.value).Err())
		}
		until, _ := strconv.ParseInt(freshUntil, 10, 64)
		fresh := ours && missing>>2&1 == 0 && (until < 0 || until > time.Now().UnixMicro())
		switch primitive % 3 {
		case 0:
			fuzzOnce(ctx, t, a, b, fresh, data)
		case 1:
			written, _ := strconv.ParseInt(writtenAt, 10, 64) // a value from the future is for current callers
			fuzzFlight(ctx, t, a, b, fresh || ours && missing>>1&1 == 0 && written > time.Now().UnixMicro(), data)
		default:
			fuzzElection(ctx, t, a, ours, missing, token, reset, data)
		}
	})
}

func fuzzOnce(ctx context.Context, t *testing.T, a, b *redis.Client, fresh bool, data string) {
	const foreign = "not of a Once"
	first, second, calls := mutex.NewOnce(a, "key"), mutex.NewOnce(b, "key"), 0
	if run, err := first.Last(ctx); err != nil && !errors.Is(err, mutex.ErrNoRun) {
		t.Errorf("Last: %v, %v", run, err)
	}
	done, doneErr := first.Done(ctx)
	if done && (!fresh || !regexp.MustCompile(`^-?\d+ -?\d+ `).MatchString(data)) {
		t.Error("Done returns true")
	}
	ran, err := first.DoContext(ctx, func(context.Context) error { calls++; return nil })
	switch {
	case err != nil || doneErr != nil:
		if !fresh || ran || calls > 0 || err == nil || doneErr == nil || !strings.Contains(err.Error(), foreign) || !strings.Contains(doneErr.Error(), foreign) {
			t.Errorf("DoContext runs f %d times: %v, %v; Done: %v", calls, ran, err, doneErr)
		}
		must(first.Reset(ctx))
	case ran == done || ran != (calls == 1):
		t.Errorf("Done: %v, and DoContext runs f %d times: %v", done, calls, ran)
	}
	want := err != nil
	if ran, err := second.DoContext(ctx, nothing); ran != want || err != nil {
		t.Errorf("another DoContext: %v, %v", ran, err)
	}
	if done, err := second.Done(ctx); !done || err != nil {
		t.Errorf("Done at the end: %v, %v", done, err)
	}
}

func fuzzFlight(ctx context.Context, t *testing.T, a, b *redis.Client, useful bool, data string) {
	first, second, calls := mutex.NewFlight(a, ""), mutex.NewFlight(b, ""), 0
	first.NotFound, second.NotFound = errF, errF
	first.Keep, first.Stale, second.Keep, second.Stale = time.Hour, time.Hour, time.Hour, time.Hour
	val, shared, err := first.Do(ctx, "key", func(context.Context) ([]byte, error) { calls++; return []byte("made"), nil })
	switch {
	case calls > 0:
		if useful || shared || err != nil || string(val) != "made" {
			t.Errorf("with f: %q, %v, %v", val, shared, err)
		}
	case !useful || !shared && err == nil:
		t.Errorf("without f: %q, %v, %v", val, shared, err)
	case err == nil && "+"+string(val) != data, errors.Is(err, errF) && data != "-":
		t.Errorf("from %q: %q, %v", data, val, err)
	case err != nil && !errors.Is(err, errF):
		if !strings.Contains(err.Error(), "not of this Flight") {
			t.Errorf("from %q: %v", data, err)
		}
		must(second.Forget(ctx, "key"))
		val, _, err = first.Do(ctx, "key", value("made"))
	}
	if again, shared, againErr := second.Do(ctx, "key", mustNotRun); string(again) != string(val) || !shared || !errors.Is(againErr, err) {
		t.Errorf("another process: %q, %v, %v", again, shared, againErr)
	}
}

func fuzzElection(ctx context.Context, t *testing.T, a *redis.Client, ours bool, missing byte, token, reset, data string) {
	e := electionOf(a, "own")
	must(a.Set(ctx, "key", token, time.Hour).Err())
	leader, err := e.Leader(ctx)
	if leads := ours && missing>>4&1 == 0 && token != ""; err == nil && (!leads || leader.Value != data) || err != nil && !errors.Is(err, mutex.ErrNoLeader) {
		t.Errorf("Leader: %+v, %v", leader, err)
	}
	must(a.Del(ctx, "key").Err())
	term, err := e.Campaign(ctx)
	if err != nil {
		if missing>>5&1 == 1 || reset == "" || !strings.Contains(err.Error(), "used by a Once") {
			t.Errorf("Campaign: %v", err)
		}
		return
	}
	if leader, err := e.Leader(ctx); leader.Value != "own" || leader.Number != term.Number() || err != nil {
		t.Errorf("Leader: %+v, %v", leader, err)
	}
	if err := term.Resign(); err != nil {
		t.Errorf("Resign: %v", err)
	}
}

// FuzzValueMessage publishes arbitrary messages on the channels of an observer and of a process that
// waits for a Once. They change neither the leader nor the outcome of the Once.
func FuzzValueMessage(f *testing.F) {
	for _, text := range []string{
		"", "x", "v", "v 1 0 0 0 0 - key", "v 0 0 0 0 0 - leader", "v -9223372036854775808 0 0 0 0 - leader", "v 9223372036854775807 1 1 1 1  ",
		"m 1 0 1 1 0 token key", "m 9 9 9 9 9  ", "m 0 0 0 0 1 token key", "s 1 1 1 1 1 token key", "r 1 1 1 1 0 token key", "? 1 1 1 1 0 token key",
		"m 1 0 1 1 0 baton:1000:host:1:process:1 baton:{key}:value", "w 1 0 0 1 0 - key", "\xff 1 2 3 4 1 t k",
	} {
		f.Add(text)
	}
	s := redistest.Start(f)
	a, b := s.Client(f), s.Client(f)
	f.Fuzz(func(t *testing.T, payload string) {
		ctx, cancel := context.WithTimeout(t.Context(), redistest.Patience)
		defer cancel()
		must(a.FlushAll(ctx).Err())
		elected := mutex.NewElection(a, "leader")
		elected.Value = "a"
		term, err := elected.Campaign(ctx)
		must(err)
		observed := mutex.NewElection(b, "leader").Observe(ctx)
		sees(t, observed, "a")

		once, waiter := mutex.NewOnce(a, "key"), make(chan error, 1)
		var ended atomic.Bool
		ran, err := once.DoContext(ctx, func(context.Context) error {
			go func() {
				ran, err := mutex.NewOnce(b, "key").DoContext(ctx, nothing)
				if ran || !ended.Load() {
					err = errors.Join(err, errors.New("f ran, or DoContext did not wait"))
				}
				waiter <- err
			}()
			awaitWaiters(t, once.Inspect, 1)
			var channels []string
			redistest.Eventually(t, redistest.Patience, func() bool {
				channels = a.PubSubChannels(ctx, "baton:*").Val()
				return len(channels) == 2
			}, "there are two channels")
			for _, channel := range channels {
				must(a.Publish(ctx, channel, payload).Err())
			}
			must(term.Resign())
			sees(t, observed, "")
			ended.Store(true)
			return nil
		})
		if !ran || err != nil {
			t.Errorf("the run: %v, %v", ran, err)
		}
		if err := <-waiter; err != nil {
			t.Errorf("the waiting process: %v", err)
		}
	})
}

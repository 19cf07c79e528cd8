package mutex_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// FuzzStoredValue writes arbitrary fields into the value key of a free mutex. A Once, a Flight and an
// Election accept only values of their own. Otherwise they see no value, or describe the error.
func FuzzStoredValue(f *testing.F) {
	for _, data := range []string{"", "x", "+", "+v", "-", "1753862400123456 1000 ", "1 1 failed", "+1 2 x", "1 2", "9223372036854775808 1 ", "\xff\x00 1 2"} {
		f.Add(byte(0), "token", "1", "1", "-1", "0", data)
	}
	for _, number := range []string{"", "x", "-1", "+1", "1e300", "nan", " 1", "9007199254740992", "9223372036854775808", strings.Repeat("9", 400)} {
		for i := range 4 {
			fields := [4]string{"1795955097726419000", "1753862400123456", "4102444800000000", "0"}
			fields[i] = number
			f.Add(byte(1<<i), "baton:1000:host:1:process:1", fields[0], fields[1], fields[2], fields[3], "+v")
			f.Add(byte(0), "", fields[0], fields[1], fields[2], fields[3], "1 2 ")
		}
	}
	s := redistest.Start(f)
	rdb := s.Client(f, redistest.Patient) // a late copy could write a value
	f.Fuzz(func(t *testing.T, missing byte, token, fence, writtenAt, freshUntil, stale, data string) {
		ctx, cancel := context.WithTimeout(t.Context(), redistest.Patience)
		defer cancel()
		put := func() {
			must(rdb.FlushAll(ctx).Err())
			for i, value := range []string{fence, writtenAt, freshUntil, stale, token, data} {
				if missing>>i&1 == 0 {
					must(rdb.HSet(ctx, "baton:{key}:value", []string{"fence", "written_at", "fresh_until", "stale", "token", "value"}[i], value).Err())
				}
			}
		}
		put()
		fuzzOnce(ctx, t, rdb)
		put()
		fuzzFlight(ctx, t, rdb, data)
		put()
		must(rdb.Set(ctx, "key", token, time.Hour).Err())
		fuzzElection(ctx, t, rdb, data)
	})
}

func fuzzOnce(ctx context.Context, t *testing.T, rdb *redis.Client) {
	o, calls := mutex.NewOnce(rdb, "key"), 0
	if run, err := o.Last(ctx); err != nil && !errors.Is(err, mutex.ErrNoRun) {
		t.Errorf("Last: %v, %v", run, err)
	}
	done, doneErr := o.Done(ctx)
	ran, err := o.DoContext(ctx, func(context.Context) error { calls++; return nil })
	foreign := err != nil && doneErr != nil && strings.Contains(err.Error(), "not of a Once") && strings.Contains(doneErr.Error(), "not of a Once")
	if foreign == (err == nil && doneErr == nil) || ran != (calls == 1) || ran != (!done && !foreign) {
		t.Errorf("Done: %v, %v; DoContext: %v, %v", done, doneErr, ran, err)
	}
	must(o.Reset(ctx))
	if ran, err := o.DoContext(ctx, nothing); !ran || err != nil {
		t.Errorf("after Reset: %v, %v", ran, err)
	}
}

func fuzzFlight(ctx context.Context, t *testing.T, rdb *redis.Client, data string) {
	fl, calls := mutex.NewFlight(rdb, ""), 0
	fl.NotFound, fl.Keep = errF, time.Hour
	val, shared, err := fl.Do(ctx, "key", func(context.Context) ([]byte, error) { calls++; return []byte("made"), nil })
	switch {
	case calls == 1 && !shared && err == nil && string(val) == "made":
	case calls == 0 && shared && err == nil && "+"+string(val) == data:
	case calls == 0 && errors.Is(err, errF) && data == "-":
	case calls == 0 && err != nil && strings.Contains(err.Error(), "not of this Flight"):
	default:
		t.Errorf("from %q: %q, %v, %v, with %d calls", data, val, shared, err, calls)
	}
}

func fuzzElection(ctx context.Context, t *testing.T, rdb *redis.Client, data string) {
	e := electionOf(rdb, "own")
	if leader, err := e.Leader(ctx); err == nil && leader.Value != data || err != nil && !errors.Is(err, mutex.ErrNoLeader) {
		t.Errorf("Leader: %+v, %v", leader, err)
	}
	must(rdb.Del(ctx, "key").Err())
	term, err := e.Campaign(ctx)
	must(err)
	if leader, err := e.Leader(ctx); leader.Value != "own" || leader.Number != term.Number() || err != nil {
		t.Errorf("Leader: %+v, %v", leader, err)
	}
	must(term.Resign())
}

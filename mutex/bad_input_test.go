package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// A victim has one value of each type, for the calls of the table.
type victim struct {
	m   *mutex.Mutex
	rw  *mutex.RWMutex
	p   *mutex.Pool
	o   *mutex.Once
	fl  *mutex.Flight
	e   *mutex.Election
	key string // for the pool and the flight, after their prefix
}

// victimOf returns a victim with these values.
func victimOf(rdb redis.UniversalClient, key string, ttl, maxHold time.Duration) victim {
	cut := len(key) - min(len(key), 1)
	v := victim{mutex.New(rdb, key), mutex.NewRW(rdb, key), mutex.NewPool(rdb, key[:cut]), mutex.NewOnce(rdb, key), mutex.NewFlight(rdb, key[:cut]), mutex.NewElection(rdb, key), key[cut:]}
	v.m.TTL, v.rw.TTL, v.p.TTL, v.o.TTL, v.fl.TTL, v.e.TTL = ttl, ttl, ttl, ttl, ttl, ttl
	v.m.MaxHold, v.rw.MaxHold, v.p.MaxHold = maxHold, maxHold, maxHold
	return v
}

func (v victim) withLinger(d time.Duration) victim {
	v.m.Linger, v.rw.Linger, v.p.Linger = d, d, d
	return v
}

func (v victim) withReplicas(n int, timeout time.Duration) victim {
	v.m.Replicas, v.rw.Replicas, v.p.Replicas = n, n, n
	v.m.ReplicaTimeout, v.rw.ReplicaTimeout, v.p.ReplicaTimeout = timeout, timeout, timeout
	return v
}

// A row calls one exported function.
type row struct {
	do     func(ctx context.Context, v victim) error
	always string // expected text if it does not depend on the victim
	noCtx  bool   // it has no ctx
	noTTL  bool   // it does not use TTL and MaxHold
	noHold bool   // it uses TTL, but not MaxHold
}

func locks(do func(ctx context.Context, v victim) error) row { return row{do: do} }

func looks(do func(ctx context.Context, v victim) error) row { return row{do: do, noTTL: true} }

// shares is a row for a type with a TTL, but without MaxHold.
func shares(do func(ctx context.Context, v victim) error) row { return row{do: do, noHold: true} }

// panics is a row for a function without a ctx and without an error.
func panics(always string, do func(v victim)) row {
	return row{do: func(_ context.Context, v victim) error { do(v); return nil }, always: always, noCtx: true}
}

func result(c <-chan mutex.Result) error { r := <-c; return redistest.ErrorOf(r.Lease, r.Err) }

func called(context.Context) error { panic("f was called") }

// ran returns err, or another error if ran is true.
func ran(ran bool, err error) error {
	if ran {
		return fmt.Errorf("f ran, and the error is %v", err)
	}
	return err
}

const (
	none     = "<nil>"
	unlocked = "nlock of unlocked"
)

// zero is a row for a method of the zero value and of a nil pointer.
func zero[T any](want any, do func(l *T) any) row {
	return row{always: "nil pointer", noCtx: true, do: func(context.Context, victim) error { return redistest.Zero(want, do) }}
}

// badInput has a row for every exported function of the package.
var badInput = map[string]row{
	"Check":         {do: func(context.Context, victim) error { _, err := mutex.Check(context.Background(), nil); return err }, always: "client is nil", noCtx: true},
	"Level.String":  panics(none, func(victim) { _ = mutex.Level(-1).String() }),
	"Report.Level":  panics(none, func(victim) { mutex.Report{}.Level() }),
	"Report.String": panics(none, func(victim) { _ = mutex.Report{}.String() }),

	"New":     panics(none, func(victim) { mutex.New(nil, "") }),
	"NewRW":   panics(none, func(victim) { mutex.NewRW(nil, "") }),
	"NewPool": panics(none, func(victim) { mutex.NewPool(nil, "baton:{") }),

	"NewOnce":        panics(none, func(victim) { mutex.NewOnce(nil, "") }),
	"Once.Do":        {do: func(_ context.Context, v victim) error { v.o.Do(func() { panic("f was called") }); return nil }, noCtx: true, noHold: true},
	"Once.DoContext": shares(func(ctx context.Context, v victim) error { return ran(v.o.DoContext(ctx, called)) }),
	"Once.TryDo":     shares(func(ctx context.Context, v victim) error { return ran(v.o.TryDo(ctx, called)) }),
	"Once.Done":      looks(func(ctx context.Context, v victim) error { _, err := v.o.Done(ctx); return err }),
	"Once.Reset":     looks(func(ctx context.Context, v victim) error { return v.o.Reset(ctx) }),
	"Once.Last":      looks(func(ctx context.Context, v victim) error { _, err := v.o.Last(ctx); return err }),
	"Once.Inspect":   looks(func(ctx context.Context, v victim) error { _, err := v.o.Inspect(ctx); return err }),

	"LeaseFromContext": panics("nil pointer", func(victim) { mutex.LeaseFromContext(nil) }), //lint:ignore SA1012 bad input

	"NewFlight":         panics(none, func(victim) { mutex.NewFlight(nil, "baton:{") }),
	"Flight.Do":         shares(func(ctx context.Context, v victim) error { _, _, err := v.fl.Do(ctx, v.key, mustNotRun); return err }),
	"Flight.DoChan":     shares(func(ctx context.Context, v victim) error { r := <-v.fl.DoChan(ctx, v.key, mustNotRun); return r.Err }),
	"Flight.Forget":     looks(func(ctx context.Context, v victim) error { return v.fl.Forget(ctx, v.key) }),
	"Flight.Inspect":    looks(func(ctx context.Context, v victim) error { _, err := v.fl.Inspect(ctx, v.key); return err }),
	"NewElection":       panics(none, func(victim) { mutex.NewElection(nil, "") }),
	"Election.Campaign": shares(func(ctx context.Context, v victim) error { return redistest.ErrorOf(v.e.Campaign(ctx)) }),
	"Election.CampaignChan": shares(func(ctx context.Context, v victim) error {
		r := <-v.e.CampaignChan(ctx)
		return redistest.ErrorOf(r.Term, r.Err)
	}),
	"Election.Lead": shares(func(ctx context.Context, v victim) error {
		return v.e.Lead(ctx, func(context.Context, *mutex.Term) error { panic("f was called") })
	}),
	"Election.Leader":  looks(func(ctx context.Context, v victim) error { _, err := v.e.Leader(ctx); return err }),
	"Election.Inspect": looks(func(ctx context.Context, v victim) error { _, err := v.e.Inspect(ctx); return err }),
	"Election.Observe": looks(func(ctx context.Context, v victim) error { // the channel is closed, and Leader returns the error
		for l := range v.e.Observe(ctx) {
			return fmt.Errorf("observed %v", l)
		}
		_, err := v.e.Leader(ctx)
		return err
	}),

	"Mutex.Lock":           panics("", func(v victim) { v.m.Lock() }),
	"Mutex.TryLock":        panics("", func(v victim) { v.m.TryLock() }),
	"Mutex.Unlock":         panics(unlocked, func(v victim) { v.m.Unlock() }),
	"Mutex.LockContext":    locks(func(ctx context.Context, v victim) error { return redistest.ErrorOf(v.m.LockContext(ctx)) }),
	"Mutex.TryLockContext": locks(func(ctx context.Context, v victim) error { return redistest.ErrorOf(v.m.TryLockContext(ctx)) }),
	"Mutex.LockChan":       locks(func(ctx context.Context, v victim) error { return result(v.m.LockChan(ctx)) }),
	"Mutex.Do":             locks(func(ctx context.Context, v victim) error { return v.m.Do(ctx, called) }),

	"RWMutex.Lock":            panics("", func(v victim) { v.rw.Lock() }),
	"RWMutex.RLock":           panics("", func(v victim) { v.rw.RLock() }),
	"RWMutex.TryLock":         panics("", func(v victim) { v.rw.TryLock() }),
	"RWMutex.TryRLock":        panics("", func(v victim) { v.rw.TryRLock() }),
	"RWMutex.Unlock":          panics(unlocked, func(v victim) { v.rw.Unlock() }),
	"RWMutex.RUnlock":         panics(unlocked, func(v victim) { v.rw.RUnlock() }),
	"RWMutex.RLocker":         panics("", func(v victim) { v.rw.RLocker().Lock() }),
	"RWMutex.LockContext":     locks(func(ctx context.Context, v victim) error { return redistest.ErrorOf(v.rw.LockContext(ctx)) }),
	"RWMutex.RLockContext":    locks(func(ctx context.Context, v victim) error { return redistest.ErrorOf(v.rw.RLockContext(ctx)) }),
	"RWMutex.TryLockContext":  locks(func(ctx context.Context, v victim) error { return redistest.ErrorOf(v.rw.TryLockContext(ctx)) }),
	"RWMutex.TryRLockContext": locks(func(ctx context.Context, v victim) error { return redistest.ErrorOf(v.rw.TryRLockContext(ctx)) }),
	"RWMutex.LockChan":        locks(func(ctx context.Context, v victim) error { return result(v.rw.LockChan(ctx)) }),
	"RWMutex.RLockChan":       locks(func(ctx context.Context, v victim) error { return result(v.rw.RLockChan(ctx)) }),
	"RWMutex.Do":              locks(func(ctx context.Context, v victim) error { return v.rw.Do(ctx, called) }),
	"RWMutex.RDo":             locks(func(ctx context.Context, v victim) error { return v.rw.RDo(ctx, called) }),

	"Pool.Lock":    panics("", func(v victim) { v.p.Lock(v.key) }),
	"Pool.TryLock": panics("", func(v victim) { v.p.TryLock(v.key) }),
	"Pool.Unlock":  panics(unlocked, func(v victim) { v.p.Unlock(v.key) }),
	"Pool.LockContext": locks(func(ctx context.Context, v victim) error {
		return each(v, func(keys ...string) error { return redistest.ErrorOf(v.p.LockContext(ctx, keys...)) })
	}),
	"Pool.TryLockContext": locks(func(ctx context.Context, v victim) error {
		return each(v, func(keys ...string) error { return redistest.ErrorOf(v.p.TryLockContext(ctx, keys...)) })
	}),
	"Pool.LockChan": locks(func(ctx context.Context, v victim) error {
		return each(v, func(keys ...string) error { return result(v.p.LockChan(ctx, keys...)) })
	}),

	"Mutex.Inspect":   looks(func(ctx context.Context, v victim) error { _, err := v.m.Inspect(ctx); return err }),
	"RWMutex.Inspect": looks(func(ctx context.Context, v victim) error { _, err := v.rw.Inspect(ctx); return err }),
	"Pool.Inspect":    looks(func(ctx context.Context, v victim) error { _, err := v.p.Inspect(ctx, v.key); return err }),
	"Status.Held":     panics(none, func(victim) { mutex.Status{}.Held() }),
	"Owner.String":    panics(none, func(victim) { _ = mutex.Owner{}.String() }),

	"Term.Resign":    zero(mutex.ErrLost, func(t *mutex.Term) any { return t.Resign() }),
	"Term.Err":       zero(mutex.ErrLost, func(t *mutex.Term) any { return t.Err() }),
	"Term.Remaining": zero(time.Duration(0), func(t *mutex.Term) any { return t.Remaining() }),
	"Term.Done":      zero("{} false", func(t *mutex.Term) any { x, ok := <-t.Done(); return fmt.Sprint(x, ok) }),
	"Term.Contended": zero(false, func(t *mutex.Term) any { return isClosed(t.Contended()) }),
	"Term.Context": zero(mutex.ErrLost, func(t *mutex.Term) any {
		ctx, stop := t.Context(context.Background())
		defer stop()
		return context.Cause(ctx)
	}),
	"Term.Number": zero(int64(0), func(t *mutex.Term) any { return t.Number() }),

	"Lease.Unlock":    zero(mutex.ErrLost, func(l *mutex.Lease) any { return l.Unlock() }),
	"Lease.Err":       zero(mutex.ErrLost, func(l *mutex.Lease) any { return l.Err() }),
	"Lease.Remaining": zero(time.Duration(0), func(l *mutex.Lease) any { return l.Remaining() }),
	"Lease.Done":      zero("{} false", func(l *mutex.Lease) any { x, ok := <-l.Done(); return fmt.Sprint(x, ok) }),
	"Lease.Contended": zero(false, func(l *mutex.Lease) any { return isClosed(l.Contended()) }),
	"Lease.Context": zero(mutex.ErrLost, func(l *mutex.Lease) any {
		ctx, stop := l.Context(context.Background())
		defer stop()
		return context.Cause(ctx)
	}),
	"Lease.Fence":   zero(int64(0), func(l *mutex.Lease) any { return l.Fence() }),
	"Lease.FenceOf": zero("0 0", func(l *mutex.Lease) any { return fmt.Sprint(l.FenceOf("key"), l.FenceOf("")) }),
}

// each calls lock with the bad key, alone and among others. It returns the error, or another one if
// the errors differ.
func each(v victim, lock func(keys ...string) error) error {
	alone := redistest.Outcome(func() error { return lock(v.key) })
	for _, keys := range [][]string{{v.key, v.key}, {"1", v.key, "2"}} {
		if err := redistest.Outcome(func() error { return lock(keys...) }); (err == nil) != (alone == nil) || errors.Is(err, mutex.ErrLocked) {
			return fmt.Errorf("keys %q: %w; the key alone: %w", keys, err, alone)
		}
	}
	return alone
}

func TestBadInputCoversAllFunctions(t *testing.T) { redistest.CoversExported(t, ".", badInput) }

// TestBadInput calls every exported function with bad input. Each call describes the error, writes
// nothing, and ends no hold.
func TestBadInput(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	client, ctx := s.Client(t), t.Context()
	types := s.PutTypes(t)
	one, read, two := victimOf(client, "one", time.Hour, 0), victimOf(client, "read", time.Hour, 0), victimOf(client, "2", time.Hour, 0) // no renewals
	held := []*mutex.Lease{lock(t, one.m), rlock(t, read.rw), lockAll(t, two.p, "two", "three")}
	misuse := redistest.NewMisuse(t, s, "}:fence") // a call for several keys may lock some for a moment
	rdb := misuse.Silent

	type bad struct {
		victim
		want string
	}
	all := map[string]bad{
		"no key":                    {victimOf(rdb, "", ample, 0), "the key is empty"},
		"a reserved key":            {victimOf(rdb, "baton:{key}:queue", ample, 0), "library's own"},
		"the reserved prefix":       {victimOf(rdb, "baton:{", ample, 0), "library's own"},
		"no TTL":                    {victimOf(rdb, "key", 0, 0), "TTL 0s"},
		"a negative TTL":            {victimOf(rdb, "key", -1, 0), "TTL -1ns"},
		"a TTL of 1.5 ms":           {victimOf(rdb, "key", 1500*time.Microsecond, 0), "TTL 1.5ms"},
		"a negative MaxHold":        {victimOf(rdb, "key", ample, -time.Hour), "MaxHold -1h"},
		"the minimum MaxHold":       {victimOf(rdb, "key", ample, -1<<63), "MaxHold -"},
		"a value without New":       {victim{new(mutex.Mutex), new(mutex.RWMutex), new(mutex.Pool), new(mutex.Once), new(mutex.Flight), new(mutex.Election), "key"}, "not made by New"},
		"a negative Linger":         {victimOf(rdb, "key", ample, 0).withLinger(-1), "Linger is negative: -1ns"},
		"negative Replicas":         {victimOf(rdb, "key", ample, 0).withReplicas(-2, 0), "Replicas is negative: -2"},
		"a negative ReplicaTimeout": {victimOf(rdb, "key", ample, 0).withReplicas(1, -1), "ReplicaTimeout -1ns"},
	}
	for what, rdb := range redistest.NilClients() {
		all[what] = bad{victimOf(rdb, "key", ample, 0), "client is nil"}
	}
	for what, key := range types {
		all[what] = bad{victimOf(client, key, ample, 0), "WRONGTYPE"}
	}
	good := victimOf(rdb, "key", ample, 0)
	onlyHolds := regexp.MustCompile("MaxHold|Replica|Linger")
	for name, r := range badInput {
		for what, bad := range all {
			do := func() error { return r.do(ctx, bad.victim) }
			switch {
			case (r.noHold || r.noTTL) && onlyHolds.MatchString(bad.want), r.noTTL && strings.Contains(bad.want, "TTL"):
			case r.always != "":
				misuse.ErrorContains(name+" of "+what, r.always, do)
			default:
				misuse.Refuses(name+" of "+what, bad.want, do)
			}
		}
		if !r.noCtx {
			misuse.Contexts(name, func(ctx context.Context) error { return r.do(ctx, good) })
		}
	}
	for name, do := range map[string]func() error{
		"Mutex.Do":       func() error { return good.m.Do(ctx, nil) },
		"RWMutex.Do":     func() error { return good.rw.Do(ctx, nil) },
		"RWMutex.RDo":    func() error { return good.rw.RDo(ctx, nil) },
		"Election.Lead":  func() error { return good.e.Lead(ctx, nil) },
		"Once.Do":        func() error { good.o.Do(nil); return nil },
		"Once.DoContext": func() error { return ran(good.o.DoContext(ctx, nil)) },
		"Once.TryDo":     func() error { return ran(good.o.TryDo(ctx, nil)) },
		"Flight.Do":      func() error { _, _, err := good.fl.Do(ctx, "1", nil); return err },
		"Flight.DoChan":  func() error { return (<-good.fl.DoChan(ctx, "1", nil)).Err },
	} {
		misuse.Refuses(name+" of a nil function", "nil function", do)
	}
	for _, d := range []time.Duration{-1, -1 << 63, time.Millisecond - 1} {
		bad := victimOf(rdb, "key", ample, 0)
		for _, field := range []*time.Duration{&bad.o.Every, &bad.o.Keep} {
			*field = d
			misuse.Refuses("Once.TryDo of "+d.String(), "invalid duration", func() error { return ran(bad.o.TryDo(ctx, called)) })
			*field = 0
		}
		for _, field := range []*time.Duration{&bad.fl.Keep, &bad.fl.Stale, &bad.fl.KeepNotFound} {
			*field = d
			misuse.Refuses("Flight.Do of "+d.String(), "invalid duration", func() error { _, _, err := bad.fl.Do(ctx, "1", mustNotRun); return err })
			*field = 0
		}
	}
	large := victimOf(rdb, "key", ample, 0)
	large.e.Value = strings.Repeat("x", mutex.MaxElectionValue+1)
	for _, name := range []string{"Election.Campaign", "Election.CampaignChan"} {
		misuse.Refuses(name+" with a large value", `campaign "key": the Value has 4097 bytes`, func() error { return badInput[name].do(ctx, large) })
	}
	for name, do := range map[string]func() error{
		"Pool.LockContext":    func() error { return redistest.ErrorOf(good.p.LockContext(ctx)) },
		"Pool.TryLockContext": func() error { return redistest.ErrorOf(good.p.TryLockContext(ctx)) },
		"Pool.LockChan":       func() error { return result(good.p.LockChan(ctx)) },
	} {
		misuse.Refuses(name+" without keys", "no keys", do)
	}

	misuse.Unchanged()
	for _, l := range held {
		if err := l.Err(); err != nil {
			t.Errorf("a hold has ended: %v", err)
		}
		unlock(t, l)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func ExampleCheck() {
	rdb, stop := exampleClient()
	defer stop()
	report, err := mutex.Check(context.Background(), rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	if report.Level() == mutex.LevelFailure {
		fmt.Println("locks are not safe on this server:", report)
		return
	}
	for _, f := range report.Findings {
		if f.Check == "atomic" {
			fmt.Println(f.Level, f.Found)
		}
	}
	// Output: ok no script was seen half done
}

// report returns the report for a client, and its findings by name.
func report(t *testing.T, rdb redis.UniversalClient) (mutex.Report, map[string]mutex.Finding) {
	t.Helper()
	r, err := mutex.Check(t.Context(), rdb)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]mutex.Finding{}
	for _, f := range r.Findings {
		found[f.Check] = f
		if (f.Level == mutex.LevelOK) != (f.Means == "") {
			t.Errorf("%s is %v, with the meaning %q", f.Check, f.Level, f.Means)
		}
		if text := r.String(); !strings.Contains(text, f.Found) || !strings.Contains(text, f.Means) || !strings.Contains(text, f.Remedy) {
			t.Errorf("the text lacks a part of %+v:\n%s", f, text)
		}
	}
	if r.RoundTrip <= 0 {
		t.Errorf("round trip %v", r.RoundTrip)
	}
	return r, found
}

// levels compares the levels of some findings.
func levels(t *testing.T, found map[string]mutex.Finding, want map[string]mutex.Level) {
	t.Helper()
	for check, level := range want {
		if f, ok := found[check]; !ok || f.Level != level {
			t.Errorf("%s: %+v, want %v", check, f, level)
		}
	}
}

var works = map[string]mutex.Level{
	"scripts": mutex.LevelOK, "time": mutex.LevelOK, "undeclared-keys": mutex.LevelOK, "atomic": mutex.LevelOK, "pubsub": mutex.LevelOK,
}

func TestCheckSettings(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--appendonly", "yes")
	r, found := report(t, s.Client(t))
	levels(t, found, works)
	levels(t, found, map[string]mutex.Level{"eviction": mutex.LevelOK, "persistence": mutex.LevelOK, "replication": mutex.LevelOK, "cluster": mutex.LevelOK})
	if name, version, _ := strings.Cut(r.Server, " "); name != "redis" && name != "valkey" || version == "" {
		t.Errorf("server %q", r.Server)
	}
	s.Do(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	s.Do(t, "CONFIG", "SET", "appendonly", "no")
	replica := s.AddReplica(t)
	_, found = report(t, s.Client(t))
	levels(t, found, map[string]mutex.Level{"eviction": mutex.LevelWarning, "persistence": mutex.LevelWarning, "replication": mutex.LevelWarning})
	s.Do(t, "CONFIG", "SET", "min-replicas-to-write", "1")
	_, found = report(t, s.Client(t))
	levels(t, found, map[string]mutex.Level{"replication": mutex.LevelOK})
	_, found = report(t, replica.Client(t))
	levels(t, found, map[string]mutex.Level{"replication": mutex.LevelFailure})
}

// Check accepts a cluster's client, and refuses a plain client of a node.
func TestCheckOfACluster(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2)
	r, found := report(t, c.Client(t))
	levels(t, found, works)
	levels(t, found, map[string]mutex.Level{"cluster": mutex.LevelOK})
	if r.Level() == mutex.LevelFailure {
		t.Errorf("a failure: %v", r)
	}
	for _, node := range c.Nodes { // only one has the keys of Check
		_, found = report(t, node.Client(t))
		levels(t, found, map[string]mutex.Level{"cluster": mutex.LevelFailure})
	}
}

// A user without INFO, CONFIG and channels gets a report on the other checks.
func TestCheckWithFewPermissions(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	user := func(o *redis.Options) { o.Username, o.Password = "u", "x" }
	s.Do(t, "ACL", "SETUSER", "u", "reset", "on", "nopass", "~*", "resetchannels", "+@all", "-info", "-config")
	_, found := report(t, s.Client(t, user))
	levels(t, found, map[string]mutex.Level{
		"scripts": mutex.LevelOK, "atomic": mutex.LevelOK, "pubsub": mutex.LevelWarning,
		"eviction": mutex.LevelUnknown, "persistence": mutex.LevelUnknown, "replication": mutex.LevelUnknown, "cluster": mutex.LevelUnknown,
	})
	s.Do(t, "ACL", "SETUSER", "u", "-eval")
	_, found = report(t, s.Client(t, user))
	levels(t, found, map[string]mutex.Level{"scripts": mutex.LevelFailure})
}

// Check finds refused commands. If a lock needs the command, it fails at once with the remedy.
func TestCheckRefusedCommands(t *testing.T) {
	for check, r := range map[string]struct {
		text    string
		refuses func(command string, args []string) bool
		level   mutex.Level
		remedy  string
	}{
		"time": {"ERR This Redis command is not allowed from script", func(command string, _ []string) bool { return command == "TIME" },
			mutex.LevelFailure, "must allow TIME in scripts"},
		"undeclared-keys": {"ERR script tried accessing undeclared key", func(command string, args []string) bool {
			return command == "EXISTS" && strings.HasSuffix(args[0], ":never")
		}, mutex.LevelWarning, ""},
		"set-get": {"ERR syntax error", func(command string, args []string) bool { // as in Redis 6
			return command == "SET" && strings.EqualFold(args[len(args)-1], "GET")
		}, mutex.LevelWarning, ""},
	} {
		t.Run(check, func(t *testing.T) {
			m := redistest.Mini(t)
			m.Server().SetPreHook(func(p *server.Peer, command string, args ...string) bool {
				refused := r.refuses(strings.ToUpper(command), args)
				if refused {
					p.WriteError(r.text)
				}
				return refused
			})
			rdb := redistest.MiniClient(t, m, func(o *redis.Options) { o.MaxRetries = -1 })
			report, found := report(t, rdb)
			levels(t, found, map[string]mutex.Level{check: r.level, "atomic": mutex.LevelOK})
			l, err := mutex.New(rdb, "key").LockContext(t.Context())
			switch {
			case r.remedy == "" && err == nil:
				unlock(t, l)
			case r.remedy == "" || err == nil || !strings.Contains(err.Error(), r.remedy) || report.Level() != mutex.LevelFailure:
				t.Errorf("LockContext: %v; %v", err, report)
			}
		})
	}
}

// Check finds a server that runs a script as a sequence of calls.
func TestCheckScriptsNotAtomic(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	var looks atomic.Int64 // of the other connection
	rdb.AddHook(redistest.Hook{Process: func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		args := cmd.Args()
		if cmd.Name() != "eval" || !strings.Contains(args[1].(string), "for _ = 1") {
			if cmd.Name() == "exists" {
				defer looks.Add(1)
			}
			return next(ctx, cmd)
		}
		key := args[3]
		if err := next(ctx, redis.NewCmd(ctx, "SET", key, "1")); err != nil {
			return err
		}
		before := looks.Load()
		redistest.Eventually(t, redistest.Patience, func() bool { return looks.Load() >= before+2 }, "the other connection looks")
		return next(ctx, redis.NewCmd(ctx, "DEL", key))
	}})
	_, found := report(t, rdb)
	levels(t, found, map[string]mutex.Level{"atomic": mutex.LevelFailure})
	if f := found["atomic"]; !strings.Contains(f.Remedy, "lua-transaction-mode") {
		t.Errorf("remedy %q", f.Remedy)
	}
}

func TestCheckReturnsWhenContextEnds(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	rdb := p.Client(t)
	must(rdb.Ping(t.Context()).Err())
	p.Blackhole(true)
	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan error)
	go func() {
		_, err := mutex.Check(ctx, rdb)
		result <- err
	}()
	cancel(errF)
	if err := <-result; !errors.Is(err, errF) || !strings.Contains(err.Error(), "baton: check") {
		t.Errorf("Check returned %v", err)
	}
	p.Blackhole(false)
	if _, err := mutex.Check(ctx, rdb); !errors.Is(err, errF) {
		t.Errorf("Check with a done ctx returned %v", err)
	}
	s.Kill()
	if _, err := mutex.Check(t.Context(), rdb); err == nil || !strings.Contains(err.Error(), "baton: check") {
		t.Errorf("Check without a server returned %v", err)
	}
}

package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

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

// report returns the report of a client, and its findings by name.
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
			t.Errorf("%s is %v, and means %q", f.Check, f.Level, f.Means)
		}
		if text := r.String(); !strings.Contains(text, f.Found) || !strings.Contains(text, f.Means) || !strings.Contains(text, f.Remedy) {
			t.Errorf("the text has not all of %+v:\n%s", f, text)
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

func TestCheckEachServer(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		r, found := report(t, rdb)
		levels(t, found, works)
		if r.Level() == mutex.LevelFailure {
			t.Errorf("a failure: %v", r)
		}
	})
}

func TestCheckSettings(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--appendonly", "yes")
	r, found := report(t, s.Client(t))
	levels(t, found, map[string]mutex.Level{"eviction": mutex.LevelOK, "persistence": mutex.LevelOK, "replication": mutex.LevelOK, "cluster": mutex.LevelOK})
	if name, version, _ := strings.Cut(r.Server, " "); name != "redis" && name != "valkey" || version == "" {
		t.Errorf("server %q", r.Server)
	}
	s.Do(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	s.Do(t, "CONFIG", "SET", "appendonly", "no")
	replica := redistest.Start(t, "--replicaof", "127.0.0.1", fmt.Sprint(s.Port()))
	redistest.Eventually(t, 20*time.Second, func() bool {
		return strings.Contains(s.Do(t, "INFO", "replication").(string), "state=online")
	}, "the replica follows")
	_, found = report(t, s.Client(t))
	levels(t, found, map[string]mutex.Level{"eviction": mutex.LevelWarning, "persistence": mutex.LevelWarning, "replication": mutex.LevelWarning})
	s.Do(t, "CONFIG", "SET", "min-replicas-to-write", "1")
	_, found = report(t, s.Client(t))
	levels(t, found, map[string]mutex.Level{"replication": mutex.LevelOK})
	_, found = report(t, replica.Client(t))
	levels(t, found, map[string]mutex.Level{"replication": mutex.LevelFailure})
}

// A user without INFO, CONFIG and channels gets a report of the rest.
func TestCheckGoesOnWhenRefused(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Do(t, "ACL", "SETUSER", "u", "reset", "on", "nopass", "~*", "resetchannels", "+@all", "-info", "-config")
	_, found := report(t, s.Client(t, func(o *redis.Options) { o.Username, o.Password = "u", "x" }))
	levels(t, found, map[string]mutex.Level{
		"scripts": mutex.LevelOK, "atomic": mutex.LevelOK, "pubsub": mutex.LevelWarning,
		"eviction": mutex.LevelUnknown, "persistence": mutex.LevelUnknown, "replication": mutex.LevelUnknown, "cluster": mutex.LevelUnknown,
	})
	s.Do(t, "ACL", "SETUSER", "u", "-eval")
	_, found = report(t, s.Client(t, func(o *redis.Options) { o.Username, o.Password = "u", "x" }))
	levels(t, found, map[string]mutex.Level{"scripts": mutex.LevelFailure})
}

func TestCheckCluster(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2)
	r, found := report(t, c.Client(t))
	levels(t, found, works)
	levels(t, found, map[string]mutex.Level{"cluster": mutex.LevelOK})
	if r.Level() == mutex.LevelFailure {
		t.Errorf("a failure: %v", r)
	}
	for _, node := range c.Nodes { // of a plain client, which one node at least redirects
		_, found := report(t, node.Client(t))
		levels(t, found, map[string]mutex.Level{"cluster": mutex.LevelFailure})
	}
}

// refusing returns a client of a server that refuses commands, in scripts too.
func refusing(t *testing.T, text string, refuses func(command string, args []string) bool) *redis.Client {
	m := redistest.Mini(t)
	m.Server().SetPreHook(func(p *server.Peer, command string, args ...string) bool {
		if refuses(strings.ToUpper(command), args) {
			p.WriteError(text)
			return true
		}
		return false
	})
	return redistest.MiniClient(t, m, func(o *redis.Options) { o.MaxRetries = -1 })
}

// On a server that refuses TIME in scripts, a lock fails at once, and names the remedy.
func TestCheckTimeRefused(t *testing.T) {
	rdb := refusing(t, "ERR This Redis command is not allowed from script", func(command string, _ []string) bool { return command == "TIME" })
	r, found := report(t, rdb)
	levels(t, found, map[string]mutex.Level{"time": mutex.LevelFailure, "atomic": mutex.LevelOK})
	if r.Level() != mutex.LevelFailure {
		t.Errorf("level %v", r.Level())
	}
	if _, err := mutex.New(rdb, "key").LockContext(t.Context()); err == nil || !strings.Contains(err.Error(), "must allow TIME in scripts") {
		t.Errorf("lock: %v", err)
	}
}

// A server that refuses keys which a script does not declare is used all the same.
func TestCheckUndeclaredKeysRefused(t *testing.T) {
	rdb := refusing(t, "ERR script tried accessing undeclared key", func(command string, args []string) bool {
		return command == "EXISTS" && strings.HasSuffix(args[0], ":never")
	})
	_, found := report(t, rdb)
	levels(t, found, map[string]mutex.Level{"undeclared-keys": mutex.LevelWarning, "scripts": mutex.LevelOK})
	l := lock(t, mutex.New(rdb, "key"))
	if err := l.Unlock(); err != nil {
		t.Error(err)
	}
}

func TestCheckOldServer(t *testing.T) {
	rdb := refusing(t, "ERR syntax error", func(command string, args []string) bool {
		return command == "SET" && strings.EqualFold(args[len(args)-1], "GET")
	})
	_, found := report(t, rdb)
	levels(t, found, map[string]mutex.Level{"set-get": mutex.LevelWarning, "scripts": mutex.LevelOK})
	l := lock(t, mutex.New(rdb, "key"))
	if err := l.Unlock(); err != nil {
		t.Error(err)
	}
}

// sequence imitates a server that runs a script as a sequence of calls.
type sequence struct{ redis.Hook }

func (sequence) DialHook(next redis.DialHook) redis.DialHook { return next }

func (sequence) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (sequence) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		args := cmd.Args()
		if cmd.Name() != "eval" || !strings.Contains(args[1].(string), "for _ = 1") {
			return next(ctx, cmd)
		}
		key := args[3]
		calls := [][]any{{"SET", key, "1"}}
		for range 2000 {
			calls = append(calls, []any{"EXISTS", key})
		}
		for _, call := range append(calls, []any{"DEL", key}) {
			if err := next(ctx, redis.NewCmd(ctx, call...)); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestCheckScriptsNotAtomic(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	rdb.AddHook(sequence{})
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
	if err := rdb.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	p.Blackhole(true)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	result := make(chan error)
	go func() {
		_, err := mutex.Check(ctx, rdb)
		result <- err
	}()
	cancel(why)
	if err := <-result; !errors.Is(err, why) || !strings.Contains(err.Error(), "baton: check") {
		t.Errorf("check: %v", err)
	}
	p.Blackhole(false)
	if _, err := mutex.Check(ctx, rdb); !errors.Is(err, why) {
		t.Errorf("check of a done ctx: %v", err)
	}
}

func TestCheckServerDown(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	s.Kill()
	if _, err := mutex.Check(t.Context(), rdb); err == nil || !strings.Contains(err.Error(), "baton: check") {
		t.Errorf("check: %v", err)
	}
}

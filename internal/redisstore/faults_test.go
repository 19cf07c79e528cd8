package redisstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// A server without memory must still execute releases and hand-overs, which free memory. It refuses only
// new locks.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	refused := func(r *rig, token string, n int64) {
		r.Helper()
		r.unchanged("a refused request", func() {
			_, err := r.Acquire(r.Context(), r.request(token, n))
			expect(r.T, "acquire", err, "passing", "OOM")
		})
	}
	for _, row := range []struct {
		name           string
		waiting        []string
		do             func(r *rig)
		owner, waiters string
	}{
		{"release", nil, func(r *rig) { equal(r.T, "owned", r.release(a), true) }, "", ""},
		{"hand-over", []string{b, c}, func(r *rig) { equal(r.T, "owned", r.release(a), true) }, b, c},
		{"hand-over by a waiter's leaving", []string{b, c}, func(r *rig) { r.expireLock(); r.release(b) }, c, ""},
		{"hand-over by a waiter's request", []string{b}, func(r *rig) { r.expireLock(); r.acquire(b, 2) }, b, ""},
		{"renew", []string{b}, func(r *rig) { equal(r.T, "held", r.renew(a), true) }, a, b},
		{"yield", []string{b, c}, func(r *rig) { r.yield(a, d, 1); r.yield(a, d, 0) }, b, c + " " + d},
		{"yield without a waiter", nil, func(r *rig) { r.yield(a, d, 1); r.yield(a, d, 1) }, d, ""},
		{"a repeated request", nil, func(r *rig) { equal(r.T, "again", outcome(r.acquire(a, 2)), "granted") }, a, ""},
		{"a try of a held lock", nil, func(r *rig) { equal(r.T, "try", outcome(r.acquire(b, 0)), "wait") }, a, ""},
		{"release with a value", nil, func(r *rig) {
			stored, owned := r.releaseValue(a, "v")
			equal(r.T, "stored and owned", owned && stored == lease.ValueStored, true)
			r.reads("the value", "v")
		}, "", ""},
		{"a TTL that is cut", nil, func(r *rig) {
			check(r.T, r.rdb.PExpire(r.Context(), r.lock, time.Hour).Err())
			r.acquire(b, 0)
			r.expiry(r.lock, lockTTL)
		}, a, ""},
		{"a first request", nil, func(r *rig) { r.release(a); refused(r, b, 0) }, "", ""},
		{"a first request of a waiter", []string{b}, func(r *rig) { refused(r, c, 1) }, a, b},
	} {
		t.Run(row.name, func(t *testing.T) {
			s.Do(t, "FLUSHALL")
			r := newRig(t, rdb, "key")
			r.held(a, row.waiting...)
			s.Do(t, "CONFIG", "SET", "maxmemory", "1")
			row.do(r)
			s.Do(t, "CONFIG", "SET", "maxmemory", "0")
			equal(t, "owner", r.owner(), row.owner)
			equal(t, "queue", r.waiting(), row.waiters)
		})
	}
}

// user returns the rig as used by a user with these ACL rules.
func (r *rig) user(s *redistest.Server, rules ...string) *rig {
	r.Helper()
	args := []any{"ACL", "SETUSER", "u", "reset", "on", "nopass"}
	for _, rule := range rules {
		args = append(args, rule)
	}
	s.Do(r.T, args...)
	return r.with(s.Client(r.T, func(o *redis.Options) { o.Username, o.Password = "u", "x" }))
}

// A hand-over or the end of a generation takes effect without its message. The waiter finds it by a
// poll.
func TestHandOverWithoutPermissionToPublish(t *testing.T) {
	r, s := realRig(t)
	u := r.user(s, "~*", "resetchannels", "+@all")
	equal(t, "messages", len(r.published(func() {
		for _, slow := range []bool{false, true} { // see eachPath
			u.slow = slow
			u.held(a, b)
			equal(t, "owned", u.release(a), true)
			equal(t, "owner", r.owner(), b)
			equal(t, "the waiter's next request", outcome(u.acquire(b, 2)), "granted")
			equal(t, "owned", u.release(b), true)
		}
		p := newPermits(t, u.rdb, rwAt("permits"), exclusive)
		p.has(a, 1)
		p.waits(b, exclusive) // would send a notice to a
		equal(t, "owned", p.release(a), true)
		equal(t, "the waiter's next request", outcome(p.send(p.again(b, 2, 1, 0, exclusive))), "granted")

		g := newGroup(t, u.rdb, "group")
		g.applies("s", taskgroup.OpStart, a)
		g.applies("s", taskgroup.OpAbandon, a)
		equal(t, "remaining", g.status(0).Remaining, 0)
		g.applies("s", taskgroup.OpStart, b)
		g.setEnd(b, -time.Millisecond)
		equal(t, "remaining", g.status(0).Remaining, 0)
	})), 0)
}

// A script uses only its keys, so that it works on each slot of a cluster.
func TestScriptsTouchTheirKeysOnly(t *testing.T) {
	r, s := realRig(t)
	u := r.user(s, "~some{tag}key", "~baton:{tag}:*", "&*", "+@all").rdb
	p := newPermits(t, u, semaphoreAt("some{tag}key"), 10)
	p.has(a, 10)
	p.waits(b, 1)
	equal(t, "renewed", p.renew(a, lockTTL), lease.RenewResult{Held: true, Contended: true})
	p.resize(11)
	equal(t, "owned", p.release(a), true)
	p.checkState("then", "b=1")
	check(t, r.rdb.FlushAll(t.Context()).Err())
	g := newGroup(t, u, "some{tag}key")
	g.applies("s", taskgroup.OpAdd, 1)
	g.applies("s", taskgroup.OpClaim, a)
	equal(t, "renewed", g.renew(a, lockTTL), true)
	g.applies("s", taskgroup.OpAbandon, a)
	equal(t, "remaining", g.status(0).Remaining, 0)
	check(t, r.rdb.FlushAll(t.Context()).Err())
	k := newRig(t, u, "some{tag}key")
	k.held(a, b)
	equal(t, "renewed", k.renew(a), true)
	equal(t, "yield", outcome(k.yield(a, c, 1)), "wait")
	equal(t, "owned", k.release(b), true)
}

func TestDoneContextAndClosedClient(t *testing.T) {
	eachServer(t, func(r *rig) {
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		fail := func(ctx context.Context, class, words string) {
			t.Helper()
			_, err := r.Acquire(ctx, r.request(a, 1))
			expect(t, "acquire", err, class, words)
			_, err = r.Release(ctx, mutexAt(r.lock), a)
			expect(t, "release", err, class, words)
		}
		fail(ctx, "passing", "canceled")
		equal(t, "keys", r.dump(), "")
		check(t, r.rdb.Close())
		fail(r.Context(), "permanent", "closed")
		expect(t, "renew", renewAll(r, make([]lease.Renewal, 1))[0].Err, "permanent", "closed")
	})
}

// A reply that no script sends is an unknown error, and is not parsed as zeros.
func TestUnexpectedReply(t *testing.T) {
	for _, val := range []any{nil, int64(1), "OK", []any{}, []any{int64(1), int64(2), int64(3)}} {
		rdb := newClient(t)
		rdb.AddHook(replies(val))
		_, err := NewStore(rdb).Acquire(t.Context(), lease.Request{Name: mutexAt("key"), Token: a, Seq: 1})
		expect(t, fmt.Sprint(val), err, "unknown", "")
	}
}

// Redis 6 to 8 and proxies send these texts. The client may wrap them in its own errors.
func TestClassify(t *testing.T) {
	t.Parallel()
	classes := map[string][]string{
		"passing": {
			"LOADING Redis is loading the dataset in memory",
			"READONLY You can't write against a read only replica.",
			"READONLY You can't write against a read only replica. script: 5ec2, on @user_script:47.",
			"CLUSTERDOWN The cluster is down",
			"CLUSTERDOWN Hash slot not served",
			"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
			"TRYAGAIN Multiple keys request during rehashing of slot",
			"NOREPLICAS Not enough good replicas to write.",
			"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
			"OOM command not allowed when used memory > 'maxmemory'.",
			"OOM command not allowed when used memory > 'maxmemory'. script: 5ec2, on @user_script:47.",
			"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
			"UNKILLABLE Sorry the script already executed write commands against the dataset.",
			"ERR Unable to execute command 'EXISTS' in script because undeclared keys were accessed during rehashing of the slot script: 5ec2, on @user_script:12.",
			"ERR Script attempted to access a slot not served script: 5ec2, on @user_script:12.",
			"ERR Script attempted to access a non local key in a cluster node script: 5ec2, on @user_script:12.",
			"UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
			"ERR max number of clients reached",
			"ERR max number of clients + cluster connections reached",
			"ERR Error running script (call to f_5ec2): @user_script:12: @user_script: 12: -OOM command not allowed when used memory > 'maxmemory'.",
			"ERR Error running script (call to f_5ec2): @user_script:12: @user_script: 12: -READONLY You can't write against a read only replica.",
			"ERR Error running script (call to f_5ec2): @user_script:12: @user_script: 12: -MISCONF Redis is configured to save RDB snapshots",
		},
		"unknown": {
			"no upstream host",
			"upstream failure",
			"ERR Connection timed out",
			"ERR Server closed connection",
			"ERR internal error",
			"ERR failed attempt to connect",
			"ERR",
		},
		"denied": {
			"NOPERM this user has no permissions to run the 'evalsha' command",
			"NOPERM this user has no permissions to access one of the keys used as arguments",
			"NOPERM No permissions to access a key",
			"NOPERM ACL failure in script: User u has no permissions to run the 'set' command script: 5ec2, on @user_script:12.",
			"ERR ACL failure in script: No permissions to access a key script: 5ec2, on @user_script:12.",
			"ERR The user executing the script can't access at least one of the keys mentioned in the command arguments script: 5ec2, on @user_script:12.",
			"ERR Error running script (call to f_5ec2): @user_script:12: @user_script: 12: The user executing the script can't run this command or subcommand",
			"NOAUTH Authentication required.",
			"WRONGPASS invalid username-password pair or user is disabled.",
			"ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
		},
		"permanent": {
			"MOVED 3999 127.0.0.1:6381", // for the client of a single server
			"ASK 3999 127.0.0.1:6381",
			"WRONGTYPE Operation against a key holding the wrong kind of value",
			"ERR queue key: WRONGTYPE Operation against a key holding the wrong kind of value",
			"ERR Error running script (call to f_5ec2): @user_script:12: WRONGTYPE Operation against a key holding the wrong kind of value",
			"ERR Error running script (call to f_5ec2): @user_script:12: @user_script: 12: -WRONGTYPE Operation against a key holding the wrong kind of value",
			"ERR the key holds a sorted set that is not a wait group",
			"CROSSSLOT Keys in request don't hash to the same slot",
			"ERR Script attempted to access keys that do not hash to the same slot script: 5ec2, on @user_script:12.",
			"ERR unknown command 'eval'",
			"ERR unknown command `evalsha`, with args beginning with: ", // EVAL is unknown too
			"ERR Error compiling script (new function): user_script:1: '=' expected near '<eof>'",
			"ERR script tried accessing undeclared key",
			"ERR This Redis command is not allowed from script script: 5ec2, on @user_script:12.",
		},
	}
	m := redistest.Mini(t)
	rdb := redistest.MiniClient(t, m)
	for want, texts := range classes {
		for _, text := range texts {
			check(t, rdb.Ping(t.Context()).Err()) // connects before the error is set
			m.SetError(text)
			_, err := NewStore(rdb).Acquire(t.Context(), lease.Request{Name: mutexAt("key"), Token: a})
			m.SetError("")
			expect(t, text, err, want, strings.Fields(text)[0])
		}
	}
	equal(t, "nil", classify(rdb, nil), nil)
	for _, err := range []error{context.DeadlineExceeded, os.ErrDeadlineExceeded, redis.ErrPoolTimeout, errors.New("a hook's")} {
		expect(t, "an error of the client", classify(rdb, err), "passing", "")
	}
}

// A client that follows redirects may still return one, which is transient. For any other client the
// error names the remedy.
func TestClassifyRedirects(t *testing.T) {
	cluster, single := redis.NewClusterClient(&redis.ClusterOptions{}), newClient(t)
	defer cluster.Close()
	for _, text := range []string{"MOVED 3999 127.0.0.1:6381", "ASK 3999 127.0.0.1:6381"} {
		err := redisError(text)
		expect(t, "a cluster client", classify(&overridden{cluster}, err), "passing", text)
		expect(t, "a client of one server", classify(&overridden{single}, err), "permanent", "redis.NewClusterClient")
	}
}

type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

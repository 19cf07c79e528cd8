package redisstore

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// A hand-over or the end of a generation takes effect without its message. The waiter finds it by a
// poll.
func TestHandOverWithoutPermissionToPublish(t *testing.T) {
	r, s := realRig(t)
	s.Do(t, "ACL", "SETUSER", "u", "reset", "on", "nopass", "~*", "resetchannels", "+@all")
	u := r.with(s.Client(t, func(o *redis.Options) { o.Username, o.Password = "u", "x" }))
	equal(t, "messages", len(r.published(func() {
		for _, slow := range []bool{false, true} { // see eachPath
			u.slow = slow
			u.held(a, b)
			equal(t, "owned", u.release(a), true)
			equal(t, "owner", r.owner(), b)
			equal(t, "the waiter's next request", outcome(u.acquire(b, 2)), "granted")
			equal(t, "owned", u.release(b), true)
		}
		p := newRig(t, u.rdb, "permits").rwMutex()
		p.has(a, 1)
		p.waits(b, exclusive) // would send a notice to a
		equal(t, "owned", p.release(a), true)
		equal(t, "the waiter's next request", outcome(p.send(p.again(b, 2, 1, 0, exclusive))), "granted")

		g := newRig(t, u.rdb, "group").group()
		g.applies("s", taskgroup.OpStart, a)
		g.applies("s", taskgroup.OpAbandon, a)
		equal(t, "remaining", g.status(0).Remaining, 0)
		g.applies("s", taskgroup.OpStart, b)
		g.setEnd(b, -time.Millisecond)
		equal(t, "remaining", g.status(0).Remaining, 0)
	})), 0)
}

// Redis 6 to 8 and proxies send these texts. The client may wrap them in its own errors.
func TestClassify(t *testing.T) {
	t.Parallel()
	classes := map[string][]string{
		"passing": {
			"LOADING Redis is loading the dataset in memory",
			"READONLY You can't write against a read only replica.",
			"CLUSTERDOWN The cluster is down",
			"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
			"TRYAGAIN Multiple keys request during rehashing of slot",
			"NOREPLICAS Not enough good replicas to write.",
			"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
			"OOM command not allowed when used memory > 'maxmemory'.",
			"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
			"UNKILLABLE Sorry the script already executed write commands against the dataset.",
			"ERR Unable to execute command 'EXISTS' in script because undeclared keys were accessed during rehashing of the slot script: 5ec2, on @user_script:12.",
			"ERR Script attempted to access a slot not served script: 5ec2, on @user_script:12.",
			"ERR Script attempted to access a non local key in a cluster node script: 5ec2, on @user_script:12.",
			"UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
			"ERR max number of clients reached",
			"ERR Error running script (call to f_5ec2): @user_script:12: @user_script: 12: -OOM command not allowed when used memory > 'maxmemory'.",
		},
		"unknown": {
			"no upstream host",
			"ERR Connection timed out",
			"ERR",
		},
		"denied": {
			"NOPERM this user has no permissions to run the 'evalsha' command",
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
			err := errorOf(NewStore(rdb).Acquire(t.Context(), lease.Request{Name: mutexAt("key"), Token: a}))
			m.SetError("")
			expect(t, text, err, want, strings.Fields(text)[0])
		}
	}
	equal(t, "nil", classify(rdb, nil), nil)
	for _, err := range []error{context.DeadlineExceeded, os.ErrDeadlineExceeded, redis.ErrPoolTimeout, errors.New("a hook's")} {
		expect(t, "an error of the client", classify(rdb, err), "passing", "")
	}
	closed := newClient(t)
	check(t, closed.Close())
	s := NewStore(closed)
	expect(t, "a closed client", errorOf(s.Acquire(t.Context(), lease.Request{Name: mutexAt("key"), Token: a})), "permanent", "closed")
	expect(t, "a renewal by a closed client", renewAll(s, make([]lease.Renewal, 1))[0].Err, "permanent", "closed")
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

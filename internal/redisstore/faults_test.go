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
)

// A full server must still let holders go and others in: what is there to be
// freed else? Only new locks are refused.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name           string
		waiting        []string
		do             func(r *rig)
		owner, waiters string
	}{
		{"release", nil, func(r *rig) { equal(r.T, "owned", r.release(a), true) }, "", ""},
		{"hand-over", []string{b, c}, func(r *rig) { equal(r.T, "owned", r.release(a), true) }, b, c},
		{"hand-over by a waiter's leaving", []string{b, c}, func(r *rig) { r.expires(); r.release(b) }, c, ""},
		{"hand-over by a waiter's request", []string{b}, func(r *rig) { r.expires(); r.acquire(b, 2) }, b, ""},
		{"renew", []string{b}, func(r *rig) { equal(r.T, "kept", r.renew(a), true) }, a, b},
		{"yield", []string{b, c}, func(r *rig) { r.yield(a, d, 1); r.yield(a, d, 0) }, b, c + " " + d},
		{"yield to nobody", nil, func(r *rig) { r.yield(a, d, 1); r.yield(a, d, 1) }, d, ""},
		{"asking again", nil, func(r *rig) { equal(r.T, "again", outcome(r.acquire(a, 2)), "granted") }, a, ""},
		{"a try of a held lock", nil, func(r *rig) { equal(r.T, "try", outcome(r.acquire(b, 0)), "wait") }, a, ""},
		{"a cut of a TTL", nil, func(r *rig) {
			check(r.T, r.rdb.PExpire(r.Context(), r.lock, time.Hour).Err())
			r.acquire(b, 0)
			r.expiry(r.lock, lockTTL)
		}, a, ""},
		{"a first request", nil, func(r *rig) {
			r.release(a)
			r.unchanged("it", func() {
				_, err := r.Acquire(r.Context(), r.request(b, 0))
				expect(r.T, "acquire", err, "passing", "OOM")
			})
		}, "", ""},
		{"a first entry", []string{b}, func(r *rig) {
			r.unchanged("it", func() {
				_, err := r.Acquire(r.Context(), r.request(c, 1))
				expect(r.T, "acquire", err, "passing", "OOM")
			})
		}, a, b},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, s := realRig(t)
			r.held(a, row.waiting...)
			s.Do(t, "CONFIG", "SET", "maxmemory", "1")
			row.do(r)
			equal(t, "owner", r.owner(), row.owner)
			equal(t, "queue", r.waiting(), row.waiters)
		})
	}
}

// user returns the rig as a user sees it that has these rules.
func (r *rig) user(s *redistest.Server, rules ...string) *rig {
	r.Helper()
	args := []any{"ACL", "SETUSER", "u", "reset", "on", "nopass"}
	for _, rule := range rules {
		args = append(args, rule)
	}
	s.Do(r.T, args...)
	return r.with(s.Client(r.T, func(o *redis.Options) { o.Username, o.Password = "u", "x" }))
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	r, s := realRig(t)
	for _, row := range []struct {
		name  string
		rules []string
	}{
		{"no scripts", []string{"~*", "&*", "+@all", "-evalsha", "-eval"}},
		{"no evalsha", []string{"~*", "&*", "+@all", "-evalsha"}},
		{"no eval, and the script is not there", []string{"~*", "&*", "+@all", "-eval"}},
		{"not this key", []string{"~other", "&*", "+@all"}},
		{"not its siblings", []string{"~key", "&*", "+@all", "-xadd"}},
		{"no writes", []string{"~*", "&*", "+@all", "-set", "-pexpire", "-del"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s.Do(t, "SCRIPT", "FLUSH")
			check(t, r.rdb.Set(t.Context(), r.lock, a, 0).Err())
			u := r.user(s, row.rules...)
			r.unchanged("what was forbidden", func() {
				_, err := u.Acquire(t.Context(), r.request(a, 1))
				expect(t, "acquire", err, "denied", "")
				_, err = u.Release(t.Context(), mutexAt(r.lock), a)
				expect(t, "release", err, "denied", "")
				if row.name != "not its siblings" {
					got := renewAll(u, []lease.Renewal{{Name: mutexAt(r.lock), Token: a, TTL: lockTTL}})[0]
					expect(t, "renew", got.Err, "denied", "")
				}
			})
		})
	}
}

// A hand-over that cannot be told is a hand-over: the waiter finds out by asking.
func TestHandOverWithoutPermissionToPublish(t *testing.T) {
	t.Parallel()
	for _, long := range []bool{false, true} { // see eachPath
		r, s := realRig(t)
		u := r.user(s, "~*", "resetchannels", "+@all")
		u.long = long
		u.held(a, b)
		said := r.published(func() { equal(t, "owned", u.release(a), true) })
		equal(t, "messages", len(said), 0)
		equal(t, "owner", r.owner(), b)
		equal(t, "the waiter's next request", outcome(u.acquire(b, 2)), "granted")
	}
}

// refused checks that every call fails for now, with words, and stores nothing.
func (r *rig) refused(words string) {
	r.Helper()
	before := strings.Join(r.rdb.Keys(r.Context(), "*").Val(), " ")
	_, err := r.Acquire(r.Context(), r.request(a, 1))
	expect(r.T, "acquire", err, "passing", words)
	_, err = r.Release(r.Context(), mutexAt(r.lock), a)
	expect(r.T, "release", err, "passing", words)
	got := renewAll(r, []lease.Renewal{{Name: mutexAt(r.lock), Token: a, TTL: lockTTL}})[0]
	expect(r.T, "renew", got.Err, "passing", words)
	equal(r.T, "kept", got.Held, false)
	if after := strings.Join(r.rdb.Keys(r.Context(), "*").Val(), " "); after != before {
		r.Errorf("keys %q, before %q", after, before)
	}
}

func TestServerThatRefusesForNow(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		args  []string
		fault func(t *testing.T, s *redistest.Server)
		words string
	}{
		{"a replica", nil, func(t *testing.T, s *redistest.Server) {
			s.Do(t, "REPLICAOF", "127.0.0.1", "1")
		}, "READONLY"},
		{"a replica without its master", []string{"--replica-serve-stale-data", "no"}, func(t *testing.T, s *redistest.Server) {
			s.Do(t, "REPLICAOF", "127.0.0.1", "1")
		}, "MASTERDOWN"},
		{"a master without replicas", nil, func(t *testing.T, s *redistest.Server) {
			s.Do(t, "CONFIG", "SET", "min-replicas-to-write", "1")
		}, "NOREPLICAS"},
		{"a disk that fails", []string{"--save", "3600 1"}, func(t *testing.T, s *redistest.Server) {
			check(t, os.RemoveAll(s.Do(t, "CONFIG", "GET", "dir").(map[any]any)["dir"].(string)))
			s.Do(t, "BGSAVE")
			redistest.Eventually(t, 5*time.Second, func() bool {
				return strings.Contains(s.Do(t, "INFO", "persistence").(string), "rdb_last_bgsave_status:err")
			}, "the save fails")
		}, "MISCONF"},
		{"a cluster without its slots", []string{"--cluster-enabled", "yes"}, func(*testing.T, *redistest.Server) {}, "CLUSTERDOWN"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, s := realRig(t, row.args...)
			if row.words != "CLUSTERDOWN" {
				r.held(a, b)
				r.renew(a) // from here on they are known by their hashes
			}
			row.fault(t, s)
			if old := strings.Contains(s.Do(t, "INFO", "server").(string), "redis_version:6."); old && (row.words == "NOREPLICAS" || row.words == "MISCONF") {
				t.Skip("Redis 6 refuses writes then, but not those of scripts")
			}
			r.refused(row.words)
		})
	}
}

func TestServerBusyWithAScript(t *testing.T) {
	t.Parallel()
	r, s := realRig(t, "--lua-time-limit", "10") // its name in every version
	r.held(a, b)
	loop := make(chan error)
	endless := s.Client(t, func(o *redis.Options) { o.ReadTimeout, o.MaxRetries = time.Minute, -1 })
	go func() { loop <- endless.Eval(context.Background(), "while true do end", nil).Err() }()
	redistest.Eventually(t, 5*time.Second, func() bool {
		_, err := r.Release(r.Context(), mutexAt(r.lock), c)
		return err != nil
	}, "the server is busy")
	for range 2 {
		_, err := r.Acquire(r.Context(), r.request(a, 1))
		expect(t, "acquire", err, "passing", "BUSY")
		expect(t, "renew", renewAll(r, []lease.Renewal{{Name: mutexAt(r.lock), Token: a}})[0].Err, "passing", "BUSY")
	}
	s.Do(t, "SCRIPT", "KILL")
	if err := <-loop; err == nil {
		t.Error("the endless script ended")
	}
	redistest.Eventually(t, 5*time.Second, func() bool {
		_, err := r.Release(r.Context(), mutexAt(r.lock), a)
		return err == nil
	}, "released")
	equal(t, "owner", r.owner(), b)
}

func TestServerWithTooManyClients(t *testing.T) {
	t.Parallel()
	r, s := realRig(t)
	s.Do(t, "CONFIG", "SET", "maxclients", "1")
	_, err := r.Acquire(r.Context(), r.request(a, 1))
	expect(t, "acquire", err, "passing", "")
	got := renewAll(r, []lease.Renewal{{Name: mutexAt(r.lock), Token: a}})[0]
	expect(t, "renew", got.Err, "passing", "")
	s.Do(t, "CONFIG", "SET", "maxclients", "100")
	equal(t, "later", outcome(r.acquire(a, 1)), "granted")
}

func TestServerThatIsDown(t *testing.T) {
	t.Parallel()
	r, s := realRig(t)
	r.held(a, b)
	s.Kill()
	_, err := r.Acquire(r.Context(), r.request(a, 1))
	expect(t, "acquire", err, "passing", "")
	check(t, s.Restart())
	// Without a log of its writes it knows neither lock nor scripts now.
	equal(t, "owned", r.release(a), false)
	equal(t, "renewed", r.renew(a), false)
	equal(t, "yield", outcome(r.yield(a, c, 1)), "gone")
	equal(t, "keys", len(s.Keys(t)), 0)
}

func TestClientThatIsClosed(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		check(r.T, r.rdb.Close())
		_, err := r.Acquire(r.Context(), r.request(a, 1))
		expect(t, "acquire", err, "permanent", "closed")
		_, err = r.Release(r.Context(), mutexAt(r.lock), a)
		expect(t, "release", err, "permanent", "closed")
		expect(t, "renew", renewAll(r, make([]lease.Renewal, 1))[0].Err, "permanent", "closed")
	})
}

func TestRefusedKeys(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		for _, key := range []string{"", "baton:{x}:queue", "baton:{"} {
			_, err := r.Acquire(r.Context(), lease.Request{Name: mutexAt(key), Token: a, TTL: lockTTL})
			expect(t, "acquire", err, "permanent", "key")
			_, err = r.Release(r.Context(), mutexAt(key), a)
			expect(t, "release", err, "permanent", "key")
		}
		equal(t, "keys", r.all(), "")
	})
}

// A script that answers something else is another program's under the same
// hash, or a proxy's invention. It must not be read as zeros.
func TestUnexpectedReply(t *testing.T) {
	eachServer(t, func(r *rig) {
		was := acquire
		defer func() { acquire = was }()
		for _, text := range []string{"return 1", "return {1, 2, 3}", "return {1, 2, 3, 4, 5}", "return 'OK'", "return {}"} {
			acquire = &script{text: text, sha: strings.Repeat("0", 40)}
			_, err := r.Acquire(r.Context(), r.request(a, 1))
			expect(t, text, err, "unknown", "unexpected")
		}
	})
}

// The texts are what Redis 6 to 8 send, and proxies; the client makes its own errors of them.
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
			"ERR Script attempted to access a non local key in a cluster node script: 5ec2, on @user_script:12.",
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
			"MOVED 3999 127.0.0.1:6381", // to the client of a single server
			"ASK 3999 127.0.0.1:6381",
			"WRONGTYPE Operation against a key holding the wrong kind of value",
			"ERR queue key: WRONGTYPE Operation against a key holding the wrong kind of value",
			"ERR Error running script (call to f_5ec2): @user_script:12: WRONGTYPE Operation against a key holding the wrong kind of value",
			"ERR Error running script (call to f_5ec2): @user_script:12: @user_script: 12: -WRONGTYPE Operation against a key holding the wrong kind of value",
			"ERR the key holds a sorted set that is not a wait group",
			"CROSSSLOT Keys in request don't hash to the same slot",
			"ERR Script attempted to access keys that do not hash to the same slot script: 5ec2, on @user_script:12.",
			"ERR unknown command 'eval'",
			"ERR unknown command `evalsha`, with args beginning with: ", // and eval is not known either
			"ERR Error compiling script (new function): user_script:1: '=' expected near '<eof>'",
			"ERR script tried accessing undeclared key",
			"ERR This Redis command is not allowed from script script: 5ec2, on @user_script:12.",
		},
	}
	m := redistest.Mini(t)
	rdb := redistest.MiniClient(t, m)
	for want, texts := range classes {
		for _, text := range texts {
			check(t, rdb.Ping(t.Context()).Err()) // connects: what is refused shall be the script
			m.SetError(text)
			_, err := NewStore(rdb).Acquire(t.Context(), lease.Request{Name: mutexAt("key"), Token: a})
			m.SetError("")
			expect(t, text, err, want, strings.Fields(text)[0])
		}
	}
	equal(t, "nil", classify(rdb, nil), nil)
	for _, err := range []error{context.DeadlineExceeded, os.ErrDeadlineExceeded, redis.ErrPoolTimeout, errors.New("a hook's")} {
		expect(t, "not the server's", classify(rdb, err), "passing", "")
	}
}

// A client that follows redirects may be told of one too many; any other is told the remedy.
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

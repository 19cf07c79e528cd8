package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// A Level is how serious a [Finding] is: package mutex has the words.
type Level int

const (
	LevelOK Level = iota
	LevelUnknown
	LevelWarning
	LevelFailure
)

// A Finding is the result of one check, as package mutex returns it.
type Finding struct {
	Check                string
	Level                Level
	Found, Means, Remedy string
}

// A Report is the result of a check of a server, as package mutex returns it.
type Report struct {
	Server               string
	RoundTrip, ClockSkew time.Duration
	Findings             []Finding
}

// Check tries what baton needs from the server of a client, and reads the settings that matter.
// In a cluster it tries scripts on one node, and reads the settings of all masters.
func Check(ctx context.Context, rdb redis.UniversalClient) (Report, error) {
	rdb, err := resolve(rdb)
	if err != nil {
		return Report{}, retry.Permanent(err)
	}
	type result struct {
		Report
		err error
	}
	done := make(chan result, 1)
	go func() { // go-redis may wait for a reply after ctx is done
		id := "baton:{check:" + rand.Text() + "}"
		c := &checker{ctx: ctx, rdb: rdb, key: id + ":key", channel: id + ":channel"}
		err := c.run()
		done <- result{c.report, err}
	}()
	select {
	case r := <-done:
		return r.Report, r.err
	case <-ctx.Done():
		return Report{}, context.Cause(ctx)
	}
}

// A checker makes one report.
type checker struct {
	ctx          context.Context
	rdb          redis.UniversalClient
	key, channel string
	report       Report
}

func (c *checker) add(check string, level Level, found, means, remedy string) {
	f := Finding{check, level, found, means, remedy}
	for _, other := range c.report.Findings {
		if other == f { // of another node
			return
		}
	}
	c.report.Findings = append(c.report.Findings, f)
}

// run returns an error if the server does not answer at all.
func (c *checker) run() error {
	for range 5 {
		sent := time.Now()
		if err := c.rdb.Ping(c.ctx).Err(); err != nil {
			return classify(c.rdb, err)
		}
		if took := time.Since(sent); c.report.RoundTrip == 0 || took < c.report.RoundTrip {
			c.report.RoundTrip = took
		}
	}
	if c.scripts() {
		c.time()
		c.setGet()
		c.undeclared()
		c.atomic()
		c.pubSub()
	}
	c.settings()
	return c.ctx.Err()
}

func (c *checker) eval(text string, args ...any) (any, error) {
	return c.rdb.Eval(c.ctx, text, []string{c.key}, args...).Result()
}

// scripts reports whether there is any use in further scripts.
func (c *checker) scripts() bool {
	const remedy = "Allow the user EVAL and EVALSHA on the keys ~baton:{*, or use a server that runs Lua scripts"
	if _, err := c.eval("return redis.call('EXISTS', KEYS[1])"); err != nil && !errors.Is(err, redis.Nil) {
		if err := classify(c.rdb, err); strings.Contains(err.Error(), "NewClusterClient") {
			c.add("cluster", LevelFailure, err.Error(), "Most keys are on other nodes, and their locks fail", "Use redis.NewClusterClient")
			return false
		}
		c.add("scripts", LevelFailure, err.Error(), "Every operation fails", remedy)
		return false
	}
	if err := c.rdb.EvalSha(c.ctx, newScript("return redis.call('EXISTS', KEYS[1])").sha, []string{c.key}).Err(); err != nil {
		c.add("scripts", LevelWarning, "the server runs scripts, and does not find them by their hash: "+err.Error(),
			"Each request is sent twice, the second time with the script's whole text", "")
		return true
	}
	c.add("scripts", LevelOK, "the server runs scripts", "", "")
	return true
}

func (c *checker) time() {
	sent := time.Now()
	val, err := c.eval("local t = redis.call('TIME') return {tonumber(t[1]), tonumber(t[2])}")
	var n [5]int64
	if err == nil {
		n, err = parseInts(val, 2)
	}
	if err != nil {
		c.add("time", LevelFailure, err.Error(), "Every operation fails: scripts read the server's clock",
			"Use a server that allows TIME in scripts")
		return
	}
	trip := time.Since(sent)
	c.report.ClockSkew = time.Unix(n[0], n[1]*1000).Sub(sent.Add(trip / 2))
	if skew := c.report.ClockSkew.Abs(); skew > trip+time.Second {
		c.add("time", LevelWarning, fmt.Sprintf("the clocks differ by %v", skew.Round(time.Millisecond)),
			"Locks are not affected: they use the server's clock only. Timestamps of logs do not compare", "Synchronize the clocks")
		return
	}
	c.add("time", LevelOK, "scripts may read the clock", "", "")
}

func (c *checker) setGet() {
	if _, err := c.eval("return redis.call('SET', KEYS[1], '1', 'PX', '100', 'GET')"); err != nil && !errors.Is(err, redis.Nil) {
		c.add("set-get", LevelWarning, err.Error(), "Locks work. The script that acquires a free lock makes more calls", "Use Redis 6.2 or newer")
		return
	}
	c.add("set-get", LevelOK, "SET with GET works", "", "")
}

func (c *checker) undeclared() {
	if _, err := c.eval("return redis.call('EXISTS', KEYS[1] .. ':never')"); err != nil {
		c.add("undeclared-keys", LevelWarning, err.Error(),
			"Locks work. While a slot of a cluster moves, a script may fail after it has written", "Allow scripts to use undeclared keys")
		return
	}
	c.add("undeclared-keys", LevelOK, "scripts may use a key that they do not declare", "", "")
}

// atomic runs scripts that create a key, take a while, and delete it. Meanwhile a second
// connection looks for the key, which an atomic server never shows.
func (c *checker) atomic() {
	const text = "redis.call('SET', KEYS[1], '1', 'PX', '10000') for _ = 1, 2000 do redis.call('EXISTS', KEYS[1]) end redis.call('DEL', KEYS[1]) return 1"
	var ended atomic.Bool
	var seen atomic.Bool
	var wg sync.WaitGroup
	key := c.key + ":atomic" // same hash tag; the first one may still be there
	wg.Go(func() {
		for !ended.Load() && c.ctx.Err() == nil {
			if c.rdb.Exists(c.ctx, key).Val() > 0 {
				seen.Store(true)
			}
		}
	})
	var err error
	for range 5 {
		if err = c.rdb.Eval(c.ctx, text, []string{key}).Err(); err != nil {
			break
		}
	}
	ended.Store(true)
	wg.Wait()
	switch {
	case seen.Load():
		c.add("atomic", LevelFailure, "another connection has seen a script half done", "Two processes may hold a lock at the same time",
			"Use a server whose scripts are atomic; for Garnet, set lua-transaction-mode")
	case err != nil:
		c.add("atomic", LevelUnknown, err.Error(), "If scripts are not atomic, two processes may hold a lock at the same time", "")
	default:
		c.add("atomic", LevelOK, "no script was seen half done", "", "")
	}
}

// pubSubTimeout is for how long a message may be on its way.
const pubSubTimeout = 2 * time.Second

func (c *checker) pubSub() {
	err := c.message()
	if err != nil {
		c.add("pubsub", LevelWarning, err.Error(), "Waiters poll: they get a lock up to a second later, and send more requests",
			"Allow SUBSCRIBE, and PUBLISH in scripts, on the channels &baton:*")
		return
	}
	c.add("pubsub", LevelOK, "a script's message has arrived", "", "")
}

// message sends one by a script, and returns why it does not arrive.
func (c *checker) message() error {
	ctx, cancel := context.WithTimeout(c.ctx, pubSubTimeout)
	defer cancel()
	sub := c.rdb.Subscribe(ctx, c.channel)
	defer sub.Close()
	if _, err := sub.ReceiveTimeout(ctx, pubSubTimeout); err != nil { // the acknowledgement
		return fmt.Errorf("subscribe: %w", err)
	}
	if _, err := c.eval("return redis.call('PUBLISH', ARGV[1], 'x')", c.channel); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if _, err := sub.ReceiveTimeout(ctx, pubSubTimeout); err != nil {
		return fmt.Errorf("no message arrives: %w", err)
	}
	return nil
}

// settings reads those of the server, or of each master of a cluster.
func (c *checker) settings() {
	cluster, ok := c.rdb.(*redis.ClusterClient)
	if !ok {
		c.node(c.rdb)
		return
	}
	var mu sync.Mutex
	err := cluster.ForEachMaster(c.ctx, func(ctx context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		c.node(node)
		return nil
	})
	if err != nil {
		c.add("cluster", LevelFailure, err.Error(), "Locks on a node that does not answer fail", "")
	}
}

// node reads the settings of one server.
func (c *checker) node(rdb redis.Cmdable) {
	info, err := readInfo(c.ctx, rdb)
	const hidden = "the server does not report it"
	if name := info["valkey_version"]; name != "" {
		c.report.Server = "valkey " + name
	} else if name := info["redis_version"]; name != "" {
		c.report.Server = "redis " + name
	}
	setting := func(name string) string { // "" if it is hidden
		values, err := rdb.ConfigGet(c.ctx, name).Result()
		if err != nil {
			return ""
		}
		return values[name]
	}

	policy := info["maxmemory_policy"]
	if policy == "" {
		policy = setting("maxmemory-policy")
	}
	switch policy {
	case "noeviction":
		c.add("eviction", LevelOK, "noeviction", "", "")
	case "":
		c.add("eviction", LevelUnknown, hidden, "With any other policy than noeviction a full server may evict locks", "Set maxmemory-policy to noeviction")
	default:
		c.add("eviction", LevelWarning, policy, "A full server may evict locks. Their holders learn that at the next renewal",
			"Set maxmemory-policy to noeviction")
	}

	switch aof := info["aof_enabled"]; aof {
	case "1":
		c.add("persistence", LevelOK, "appendonly is on", "", "")
	case "":
		c.add("persistence", LevelUnknown, hidden, "Without appendonly a restart forgets locks", "Set appendonly to yes")
	default:
		c.add("persistence", LevelWarning, "appendonly is off", "A restart may forget locks. Until their holders notice, two processes may hold a lock",
			"Set appendonly to yes")
	}

	least := setting("min-replicas-to-write")
	switch role := info["role"]; {
	case role == "slave":
		c.add("replication", LevelFailure, "the server is a replica", "A read-only replica grants no lock. A writable one grants locks that its master does not know",
			"Connect to the master")
	case role == "":
		c.add("replication", LevelUnknown, hidden, "A failover can forget a lock that no replica has received", "Set min-replicas-to-write if there are replicas")
	case info["connected_slaves"] == "0" || info["connected_slaves"] == "":
		c.add("replication", LevelOK, "no replicas", "", "")
	case least == "" || least == "0":
		c.add("replication", LevelWarning, info["connected_slaves"]+" replicas, and min-replicas-to-write is not set",
			"A master that is cut off still grants locks, which a failover forgets", "Set min-replicas-to-write to 1 or more")
	default:
		c.add("replication", LevelOK, info["connected_slaves"]+" replicas, min-replicas-to-write is "+least, "", "")
	}

	_, isCluster := c.rdb.(*redis.ClusterClient)
	switch {
	case info["cluster_enabled"] == "1" && !followsRedirects(c.rdb):
		c.add("cluster", LevelFailure, "the server is a node of a cluster, and the client does not follow redirects",
			"Most keys are on other nodes, and their locks fail", "Use redis.NewClusterClient")
	case isCluster:
		state, err := rdb.ClusterInfo(c.ctx).Result()
		switch {
		case err != nil:
			c.add("cluster", LevelUnknown, err.Error(), "Locks in a slot that no node serves fail until one does", "")
		case !strings.Contains(state, "cluster_state:ok") || !strings.Contains(state, "cluster_slots_ok:16384"):
			c.add("cluster", LevelFailure, "a node does not see all slots served", "Locks in the other slots fail until a node serves them",
				"See CLUSTER INFO of each node")
		default:
			c.add("cluster", LevelOK, "all slots are served", "", "")
		}
	case err == nil:
		c.add("cluster", LevelOK, "a single server", "", "")
	default:
		c.add("cluster", LevelUnknown, hidden, "A node of a cluster needs redis.NewClusterClient", "")
	}
}

// readInfo returns the fields of INFO that the server reports.
func readInfo(ctx context.Context, rdb redis.Cmdable) (map[string]string, error) {
	text, err := rdb.Info(ctx).Result()
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields, err
}

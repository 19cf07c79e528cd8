package main

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A fault is a fault of the servers, of the network or of the workers.
type fault struct {
	name      string
	rows      string   // of the fault matrix
	on        []string // topologies; nil means all
	losesData bool     // Redis loses writes: for a while, only fences are guaranteed
	bound     func(b bounds) time.Duration
	inject    func(x *injection) // returns when the fault has ended
}

func (f fault) fits(topology string) bool { return f.on == nil || slices.Contains(f.on, topology) }

// bounds has the times of PROTOCOL.md from which recovery bounds are computed.
type bounds struct {
	T time.Duration // TTL
	G time.Duration // TTL of a hand-over
	P time.Duration // poll bound
	C time.Duration // timeout of a command
	R time.Duration // delay until go-redis dials again
}

func newBounds(ttl time.Duration) bounds {
	const poll = 1200 * time.Millisecond
	return bounds{T: ttl, G: min(ttl, 3*poll), P: poll, C: commandTimeout, R: time.Second}
}

// A lost or late message is replaced by a poll.
func (b bounds) message() time.Duration { return b.P }

// A command without a reply times out, and is repeated.
func (b bounds) reply() time.Duration { return b.C + b.P }

// After an outage, clients connect again. Unreleased holds expire. The lock may also be handed to a stale
// queue entry, left by a request that was executed after its caller gave up.
func (b bounds) outage() time.Duration { return b.C + b.R + b.P + b.T + b.G }

// A dead holder's key expires and is polled for. The lock may then be handed to a dead waiter.
func (b bounds) death() time.Duration { return b.T + b.P + b.G + b.P }

type (
	proxy  = redistest.Proxy
	counts = redistest.Faults
)

// withoutFailover has the topologies in which a stopped server is not replaced.
var withoutFailover = []string{"single", "aof", "replica", "cluster"}

// faults has all faults, in any order. After a fault that loses data, exclusion is not guaranteed until all
// earlier holds have ended. Only fences keep their order.
var faults = []fault{
	// The network.
	{"delay", "30, 37", nil, false, bounds.reply, proxyFault(func(x *injection, p *proxy, on bool) {
		p.SetDelay(x.durationIf(on, 5*time.Millisecond, 150*time.Millisecond))
	}, func(f counts) int64 { return f.Delayed })},
	{"black-hole", "35", nil, false, bounds.outage, proxyFault(func(_ *injection, p *proxy, on bool) { p.Blackhole(on) }, held)},
	{"black-hole-requests", "34, 36", nil, false, bounds.outage, proxyFault(func(_ *injection, p *proxy, on bool) { p.BlackholeRequests(on) }, held)},
	{"black-hole-replies", "32, 34", nil, false, bounds.outage, proxyFault(func(_ *injection, p *proxy, on bool) { p.BlackholeReplies(on) }, held)},
	{"refuse", "44", nil, false, bounds.outage, proxyFault(func(_ *injection, p *proxy, on bool) { p.Refuse(on) }, func(f counts) int64 { return f.Refused })},
	{"slice", "38", nil, false, bounds.reply, proxyFault(func(_ *injection, p *proxy, on bool) { p.Slice(on) }, func(f counts) int64 { return f.Sliced })},
	{"cut-off-holder", "35", nil, false, bounds.outage, cutOffHolder},
	{"cut-request", "31", nil, false, bounds.reply, commandFault((*proxy).CutNextRequest, func(f counts) int64 { return f.RequestsCut })},
	{"cut-reply", "32, 33", nil, false, bounds.reply, commandFault((*proxy).CutNextReply, func(f counts) int64 { return f.RepliesCut })},
	{"lose-reply", "32", nil, false, bounds.reply, commandFault((*proxy).LoseNextReply, func(f counts) int64 { return f.RepliesLost })},

	// Messages.
	{"drop-messages", "41", nil, false, bounds.message, proxyFault(func(x *injection, p *proxy, on bool) {
		p.DropMessages(int(x.durationIf(on, 1, 50)))
	}, func(f counts) int64 { return f.MessagesDropped })},
	{"duplicate-messages", "41", nil, false, bounds.message, proxyFault(func(_ *injection, p *proxy, on bool) { p.DuplicateMessages(on) },
		func(f counts) int64 { return f.MessagesDuplicated })},
	{"delay-messages", "41", nil, false, bounds.outage, proxyFault(func(x *injection, p *proxy, on bool) {
		p.DelayMessages(x.durationIf(on, 20*time.Millisecond, x.ttl))
	}, func(f counts) int64 { return f.MessagesDelayed })},
	{"drop-subscribers", "40", nil, false, bounds.reply, func(x *injection) {
		n := 0
		for _, p := range x.proxies(x.someWorkers()) {
			n += p.DropSubscribers()
		}
		x.confirm(n > 0, "the proxies closed %d connections", n)
	}},
	{"kill-pubsub", "40", nil, false, bounds.reply, func(x *injection) { x.killClients("pubsub") }},
	{"kill-normal", "39", nil, false, bounds.reply, func(x *injection) { x.killClients("normal") }},

	// Servers.
	{"script-flush", "16", nil, false, bounds.message, errorFault("NOSCRIPT", func(x *injection) {
		for range 1 + x.random.IntN(5) {
			x.command("SCRIPT", "FLUSH")
			x.sleep(0, 100*time.Millisecond)
		}
	})},
	{"out-of-memory", "12", nil, false, bounds.outage, errorFault("OOM", func(x *injection) { x.withBadSetting("maxmemory", 1) })},
	{"no-replicas", "8", []string{"replica"}, false, bounds.outage, errorFault("NOREPLICAS", func(x *injection) { x.withBadSetting("min-replicas-to-write", 2) })},
	{"busy", "17", withoutFailover, false, bounds.outage, errorFault("BUSY", func(x *injection) {
		x.command("CONFIG", "SET", "busy-reply-threshold", 100)
		x.command("EVAL", `local t = redis.call('TIME') local from = t[1] * 1000 + t[2] / 1000
			repeat t = redis.call('TIME') until t[1] * 1000 + t[2] / 1000 > from + ARGV[1] return 1`,
			0, x.between(200*time.Millisecond, time.Second).Milliseconds())
	})},
	{"pause-write", "18", withoutFailover, false, bounds.outage, func(x *injection) { x.pauseClients("WRITE") }},
	{"pause-all", "18", withoutFailover, false, bounds.outage, func(x *injection) { x.pauseClients("ALL") }},
	{"server-stop", "3, 4, 5", withoutFailover, false, bounds.outage, func(x *injection) {
		n := pick(x, x.topology.masters())
		n.Pause()
		x.confirm(true, "process %d was stopped", n.Pid())
		x.sleep(x.ttl/4, 2*x.ttl)
		n.Continue()
	}},
	{"restart-aof", "2", []string{"aof"}, false, bounds.outage, func(x *injection) { x.restart(x.topology.nodes[0]) }},
	{"restart-empty", "1", []string{"single", "cluster"}, true, bounds.outage, func(x *injection) {
		from := now()
		x.restart(pick(x, x.topology.masters()))
		x.excuseLosses("", from)
		for _, n := range x.topology.nodes {
			if x.topology.kind == "cluster" && !eventually(30*time.Second, func() bool {
				v, _ := n.try("CLUSTER", "INFO")
				text, _ := v.(string)
				return strings.Contains(text, "cluster_state:ok") && strings.Contains(text, "cluster_known_nodes:2")
			}) {
				panic("the cluster did not form")
			}
		}
	}},
	{"flush-all", "14", nil, true, bounds.outage, func(x *injection) {
		from, keys := now(), 0
		for _, n := range x.topology.masters() {
			keys += len(n.names())
			n.do("FLUSHALL")
		}
		x.excuseLosses("", from)
		x.confirm(keys > 0, "FLUSHALL deleted %d keys", keys)
	}},
	{"delete-key", "13, 14", nil, true, bounds.outage, deleteKeys},

	// Workers.
	{"worker-stop", "25, 29", nil, false, bounds.death, func(x *injection) {
		m := x.oneWorker()
		if x.random.IntN(3) > 0 {
			h := x.longHold()
			if h == nil {
				return
			}
			m = x.fleet.members[h.worker]
		}
		held, queued := x.awaitBusy(m)
		check(m.child.Pause())
		x.confirm(held+queued > 0, "process %d was stopped with %d holds and %d requests", m.child.Pid(), held, queued)
		x.sleep(x.ttl*8/10, 3*x.ttl)
		check(m.child.Continue())
	}},
	{"worker-kill", "26, 27, 28", nil, false, bounds.death, func(x *injection) {
		m := x.oneWorker()
		x.awaitBusy(m)
		before := m.child.Pid()
		x.fleet.kill(m, x.timeline)
		held, queued := x.timeline.open(m.plan.Worker, x.timeline.crashes[len(x.timeline.crashes)-1].t)
		x.confirm(syscall.Kill(before, 0) != nil && held+queued > 0, "process %d died with %d holds and %d requests", before, held, queued)
	}},

	// Topologies.
	{"switch-master", "7", []string{"replica"}, false, bounds.outage, errorFault("READONLY", switchMaster)},
	{"failover-lost-writes", "6", []string{"sentinel"}, true, bounds.outage, loseWrites},
	{"failover-command", "6", []string{"sentinel"}, true, bounds.outage, func(x *injection) {
		from, t := now(), x.topology
		check(t.watching[0].Failover(context.Background(), masterName).Err())
		t.elected()
		x.confirm(true, "the sentinels elected %s", t.nodes[t.master].Addr())
		t.settled()
		x.excuseLosses("", from) // the last writes may be lost
	}},
	{"slot-move", "9, 10", []string{"cluster"}, false, bounds.outage, func(x *injection) {
		key := pick(x, x.keys)
		moved := x.topology.move(key, x.between(10*time.Millisecond, x.ttl/3))
		x.confirm(moved > 0, "MIGRATE moved %d keys of the slot of %s", moved, key)
	}},
}

func held(f counts) int64 { return f.Held }

// proxyFault enables a fault of some workers' proxies, for up to two TTLs.
func proxyFault(set func(x *injection, p *proxy, on bool), count func(counts) int64) func(*injection) {
	return func(x *injection) {
		victims := x.someWorkers()
		x.awaitBusy(victims[0])
		proxies := x.proxies(victims)
		before := faultCount(proxies, count)
		for _, p := range proxies {
			set(x, p, true)
		}
		x.sleep(x.ttl/4, min(2*x.ttl, maxProxyFault))
		for _, p := range proxies {
			set(x, p, false)
		}
		n := faultCount(proxies, count) - before
		x.confirm(n > 0, "the proxies counted %d faults", n)
	}
}

// maxProxyFault is shorter than the TTL of peers.
const maxProxyFault = 4 * time.Second

// commandFault makes a few commands or replies of the system fail.
func commandFault(arm func(p *proxy, match string), count func(counts) int64) func(*injection) {
	return func(x *injection) {
		victims := x.someWorkers()
		if x.system != "baton" { // a single worker may be starved, and send no command
			victims = x.fleet.members
		}
		proxies := x.proxies(victims)
		before, armed := faultCount(proxies, count), int64(0)
		for _, p := range proxies {
			for range 1 + x.random.IntN(4) {
				match := "evalsha"
				if x.system == "redsync" && x.random.IntN(2) == 0 {
					match = "\r\nset\r\n"
				}
				arm(p, match)
				armed++
			}
		}
		eventually(3*time.Second, func() bool { return faultCount(proxies, count)-before >= armed })
		n := faultCount(proxies, count) - before
		x.confirm(n > 0, "the proxies counted %d of %d faults", n, armed)
	}
}

// cutOffHolder drops the traffic of a worker with a hold, for longer than a TTL.
func cutOffHolder(x *injection) {
	h := x.longHold()
	if h == nil {
		return
	}
	proxies := x.proxies(x.fleet.members[h.worker : h.worker+1])
	before := faultCount(proxies, held)
	for _, p := range proxies {
		p.Blackhole(true)
	}
	x.sleep(x.ttl*15/10, x.ttl*22/10)
	for _, p := range proxies {
		p.Blackhole(false)
	}
	n := faultCount(proxies, held) - before
	x.confirm(n > 0, "the proxies dropped %d frames, and worker %d held %s", n, h.worker, h.key)
}

// killClients makes the servers close connections.
func (x *injection) killClients(kind string) {
	var total int64
	for _, n := range x.topology.masters() {
		total += n.do("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes").(int64)
	}
	x.confirm(total > 0, "the servers closed %d connections", total)
}

// errorFault returns a fault that is confirmed by the servers' error counts.
func errorFault(code string, inject func(*injection)) func(*injection) {
	return func(x *injection) {
		before := x.errors(code)
		inject(x)
		n := x.errors(code) - before
		x.confirm(n > 0, "%d errors %s", n, code)
	}
}

// withBadSetting applies a bad setting for some time.
func (x *injection) withBadSetting(name string, bad any) {
	x.command("CONFIG", "SET", name, bad)
	x.sleep(x.ttl/4, 2*x.ttl)
	x.command("CONFIG", "SET", name, 0)
}

// pauseClients makes the servers pause all clients, or all writes.
func (x *injection) pauseClients(mode string) {
	d := x.between(x.ttl/4, 2*x.ttl)
	x.command("CLIENT", "PAUSE", d.Milliseconds(), mode)
	start := time.Now()
	x.command("PUBLISH", "soak", "") // is paused like any write
	took := time.Since(start)
	x.confirm(took > d/2, "a PUBLISH took %v", took.Round(time.Millisecond))
}

// restart kills the server and starts it again.
func (x *injection) restart(n *node) {
	before := n.Pid()
	n.Kill()
	x.sleep(0, x.ttl)
	check(n.Restart())
	x.confirm(n.Pid() != before, "the server was process %d and is process %d", before, n.Pid())
}

// deleteKeys deletes a key of the workers, and some of its companion keys, like an eviction.
func deleteKeys(x *injection) {
	key := pick(x, x.keys)
	from := now()
	for deleted := int64(0); deleted == 0 && now()-from < int64(2*time.Second); {
		for _, n := range x.topology.masters() {
			for _, name := range n.names() {
				if name != key && (!isCompanion(name, key) || x.random.IntN(2) == 0) {
					continue
				}
				// MOVED is impossible, because the node has the key and no slot is moving.
				if gone := n.do("DEL", name).(int64); name == key {
					deleted += gone
				}
			}
		}
		x.confirm(deleted > 0, "DEL %s returned %d", key, deleted)
	}
	x.excuseLosses(key, from)
}

// switchMaster swaps master and replica without a loss, and back. The address that clients use is read-only
// in between.
func switchMaster(x *injection) {
	a, b := x.topology.nodes[0], x.topology.nodes[1]
	for _, pair := range [][2]*node{{a, b}, {b, a}} {
		pair[0].do("FAILOVER", "TO", "127.0.0.1", pair[1].Port(), "TIMEOUT", 10000)
		pair[1].await("role", "master")
		pair[0].await("master_link_status", "up")
		x.sleep(0, x.ttl)
	}
}

// loseWrites makes the sentinels replace a master whose last writes were not replicated.
func loseWrites(x *injection) {
	t := x.topology
	master, replica := t.nodes[t.master], t.nodes[1-t.master]
	from := now()
	// Stopping the replica is not enough, because writes would wait in its socket.
	replica.Pause()
	master.do("CLIENT", "KILL", "TYPE", "replica")
	offset, _ := strconv.Atoi(master.info("master_repl_offset"))
	x.sleep(50*time.Millisecond, 400*time.Millisecond)
	lost, _ := strconv.Atoi(master.info("master_repl_offset"))
	master.Kill()
	replica.Continue()
	t.elected()
	x.confirm(lost > offset, "at least %d bytes of writes were lost", lost-offset)
	check(master.Restart())
	master.do("REPLICAOF", "127.0.0.1", replica.Port())
	master.await("master_link_status", "up")
	t.settled()
	x.excuseLosses("", from)
}

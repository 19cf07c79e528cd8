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
	bound     func(ttl time.Duration) time.Duration
	counter   string             // grows during the fault: a field of redistest.Faults or of INFO
	inject    func(x *injection) // returns when the fault has ended
}

func (f fault) fits(topology string) bool { return f.on == nil || slices.Contains(f.on, topology) }

// The bounds of recovery, computed from the times of PROTOCOL.md.
const (
	poll   = 1200 * time.Millisecond // P, the poll bound
	redial = time.Second             // until go-redis dials again
)

// A lost or late message is replaced by a poll.
func message(ttl time.Duration) time.Duration { return poll }

// A command without a reply times out, and is repeated.
func reply(ttl time.Duration) time.Duration { return commandTimeout + poll }

// After an outage, clients connect again. Unreleased holds expire. The lock may also be handed to a stale
// queue entry, left by a request that was executed after its caller gave up.
func outage(ttl time.Duration) time.Duration {
	return commandTimeout + redial + poll + ttl + handover(ttl)
}

// A dead holder's key expires and is polled for. The lock may then be handed to a dead waiter.
func death(ttl time.Duration) time.Duration { return ttl + poll + handover(ttl) + poll }

// handover returns G, the TTL of a hand-over.
func handover(ttl time.Duration) time.Duration { return min(ttl, 3*poll) }

type proxy = redistest.Proxy

// withoutFailover has the topologies in which a stopped server is not replaced.
var withoutFailover = []string{"single", "aof", "replica", "cluster"}

// faults has all faults, in any order. After a fault that loses data, exclusion is not guaranteed until all
// earlier holds have ended. Only fences keep their order.
var faults = []fault{
	// The network.
	{"delay", "30, 37", nil, false, reply, "Delayed", durationFault((*proxy).SetDelay, 5*time.Millisecond, 150*time.Millisecond)},
	{"black-hole", "35", nil, false, outage, "Held", proxyFault((*proxy).Blackhole)},
	{"black-hole-requests", "34, 36", nil, false, outage, "Held", proxyFault((*proxy).BlackholeRequests)},
	{"black-hole-replies", "32, 34", nil, false, outage, "Held", proxyFault((*proxy).BlackholeReplies)},
	{"refuse", "44", nil, false, outage, "Refused", proxyFault((*proxy).Refuse)},
	{"slice", "38", nil, false, reply, "Sliced", proxyFault((*proxy).Slice)},
	{"cut-off-holder", "35", nil, false, outage, "Held", func(x *injection) {
		if h := x.longHold(); h != nil { // for longer than a TTL
			x.disturb(x.fleet[h.Worker:h.Worker+1], x.between(x.ttl*15/10, x.ttl*22/10), (*proxy).Blackhole)
		}
	}},
	{"cut-request", "31", nil, false, reply, "RequestsCut", commandFault((*proxy).CutNextRequest)},
	{"cut-reply", "32, 33", nil, false, reply, "RepliesCut", commandFault((*proxy).CutNextReply)},
	{"lose-reply", "32", nil, false, reply, "RepliesLost", commandFault((*proxy).LoseNextReply)},

	// Messages.
	{"drop-messages", "41", nil, false, message, "MessagesDropped", durationFault(func(p *proxy, n time.Duration) { p.DropMessages(int(n)) }, 1, 50)},
	{"duplicate-messages", "41", nil, false, message, "MessagesDuplicated", proxyFault((*proxy).DuplicateMessages)},
	{"delay-messages", "41", nil, false, outage, "MessagesDelayed", durationFault((*proxy).DelayMessages, 20*time.Millisecond, 2*time.Second)},
	{"drop-subscribers", "40", nil, false, reply, "", func(x *injection) {
		n := 0
		for _, p := range x.proxies(x.someWorkers()) {
			n += p.DropSubscribers()
		}
		x.confirm(n > 0, "the proxies closed %d connections", n)
	}},
	{"kill-pubsub", "40", nil, false, reply, "", func(x *injection) { x.killClients("pubsub") }},
	{"kill-normal", "39", nil, false, reply, "", func(x *injection) { x.killClients("normal") }},

	// Servers.
	{"script-flush", "16", nil, false, message, "errorstat_NOSCRIPT", func(x *injection) {
		for range 1 + x.random.IntN(5) {
			x.command("SCRIPT", "FLUSH")
			x.sleep(0, 100*time.Millisecond)
		}
	}},
	{"out-of-memory", "12", nil, false, outage, "errorstat_OOM", badSetting("maxmemory", 1)},
	{"no-replicas", "8", []string{"replica"}, false, outage, "errorstat_NOREPLICAS", badSetting("min-replicas-to-write", 2)},
	{"busy", "17", withoutFailover, false, outage, "errorstat_BUSY", func(x *injection) {
		x.command("CONFIG", "SET", "busy-reply-threshold", 100)
		x.command("EVAL", `local t = redis.call('TIME') local from = t[1] * 1000 + t[2] / 1000
			repeat t = redis.call('TIME') until t[1] * 1000 + t[2] / 1000 > from + ARGV[1] return 1`,
			0, x.between(200*time.Millisecond, time.Second).Milliseconds())
	}},
	{"pause-write", "18", withoutFailover, false, outage, "", func(x *injection) { x.pauseClients("WRITE") }},
	{"pause-all", "18", withoutFailover, false, outage, "", func(x *injection) { x.pauseClients("ALL") }},
	{"server-stop", "3, 4, 5", withoutFailover, false, outage, "", func(x *injection) {
		n := pick(x, x.topology.masters())
		n.Pause()
		x.confirm(true, "process %d was stopped", n.Pid())
		x.sleep(x.ttl/4, 2*x.ttl)
		n.Continue()
	}},
	{"restart-aof", "2", []string{"aof"}, false, outage, "", func(x *injection) { x.restart(x.topology.nodes[0]) }},
	{"restart-empty", "1", []string{"single", "cluster"}, true, outage, "", func(x *injection) {
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
	{"flush-all", "14", nil, true, outage, "", func(x *injection) {
		from, keys := now(), 0
		for _, n := range x.topology.masters() {
			keys += len(n.names())
			n.do("FLUSHALL")
		}
		x.excuseLosses("", from)
		x.confirm(keys > 0, "FLUSHALL deleted %d keys", keys)
	}},
	{"delete-key", "13, 14", nil, true, outage, "", deleteKeys},

	// Workers.
	{"worker-stop", "25, 29", nil, false, death, "", func(x *injection) {
		m := pick(x, x.fleet)
		if x.random.IntN(3) > 0 {
			h := x.longHold()
			if h == nil {
				return
			}
			m = x.fleet[h.Worker]
		}
		held, queued := x.awaitBusy(m)
		check(m.child.Pause())
		x.confirm(held+queued > 0, "process %d was stopped with %d holds and %d requests", m.child.Pid(), held, queued)
		x.sleep(x.ttl*8/10, 3*x.ttl)
		check(m.child.Continue())
	}},
	{"worker-kill", "26, 27, 28", nil, false, death, "", func(x *injection) {
		m := pick(x, x.fleet)
		x.awaitBusy(m)
		before := m.child.Pid()
		m.kill(x.timeline)
		held, queued := x.timeline.open(m.plan.Worker, x.timeline.crashes[len(x.timeline.crashes)-1].t)
		x.confirm(syscall.Kill(before, 0) != nil && len(held)+len(queued) > 0, "process %d died with %d holds and %d requests", before, len(held), len(queued))
	}},

	// Topologies.
	{"switch-master", "7", []string{"replica"}, false, outage, "errorstat_READONLY", switchMaster},
	{"failover-lost-writes", "6", []string{"sentinel"}, true, outage, "", loseWrites},
	{"failover-command", "6", []string{"sentinel"}, true, outage, "", func(x *injection) {
		from, t := now(), x.topology
		check(t.watching[0].Failover(context.Background(), masterName).Err())
		t.elected()
		x.confirm(true, "the sentinels elected %s", t.nodes[t.master].Addr())
		t.settled()
		x.excuseLosses("", from) // the last writes may be lost
	}},
	{"slot-move", "9, 10", []string{"cluster"}, false, outage, "", func(x *injection) {
		key := pick(x, x.keys)
		moved := x.topology.move(key, x.between(10*time.Millisecond, x.ttl/3))
		x.confirm(moved > 0, "MIGRATE moved %d keys of the slot of %s", moved, key)
	}},
}

// maxProxyFault is shorter than the TTL of peers.
const maxProxyFault = 4 * time.Second

// disturb enables a fault of the workers' proxies for some time.
func (x *injection) disturb(victims []*member, d time.Duration, set func(p *proxy, on bool)) {
	proxies := x.proxies(victims)
	for _, p := range proxies {
		set(p, true)
	}
	time.Sleep(d)
	for _, p := range proxies {
		set(p, false)
	}
}

// proxyFault enables a fault of some workers' proxies, for up to two TTLs.
func proxyFault(set func(p *proxy, on bool)) func(*injection) {
	return func(x *injection) {
		victims := x.someWorkers()
		x.awaitBusy(victims[0])
		x.disturb(victims, x.between(x.ttl/4, min(2*x.ttl, maxProxyFault)), set)
	}
}

// durationFault is a proxyFault with a random duration, or number, of at most the TTL.
func durationFault(set func(*proxy, time.Duration), least, most time.Duration) func(*injection) {
	return func(x *injection) {
		proxyFault(func(p *proxy, on bool) {
			if on {
				set(p, x.between(least, min(most, x.ttl)))
			} else {
				set(p, 0)
			}
		})(x)
	}
}

// commandFault makes a few commands or replies of the system fail.
func commandFault(arm func(p *proxy, match string)) func(*injection) {
	return func(x *injection) {
		victims := x.someWorkers()
		if x.system != "baton" { // a single worker may be starved, and send no command
			victims = x.fleet
		}
		want := x.count()
		for _, p := range x.proxies(victims) {
			for range 1 + x.random.IntN(4) {
				arm(p, "evalsha")
				want++
			}
		}
		eventually(3*time.Second, func() bool { return x.count() >= want })
	}
}

// killClients makes the servers close connections.
func (x *injection) killClients(kind string) {
	var total int64
	for _, n := range x.topology.masters() {
		total += n.do("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes").(int64)
	}
	x.confirm(total > 0, "the servers closed %d connections", total)
}

// badSetting applies a bad setting for some time.
func badSetting(name string, bad any) func(*injection) {
	return func(x *injection) {
		x.command("CONFIG", "SET", name, bad)
		x.sleep(x.ttl/4, 2*x.ttl)
		x.command("CONFIG", "SET", name, 0)
	}
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

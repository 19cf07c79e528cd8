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

// A fault is something that is done to the servers, to the network or to the workers.
type fault struct {
	name   string
	rows   string   // of the matrix of faults
	on     []string // topologies; nil for all
	loses  bool     // what Redis was told: only fences are promised for a while
	bound  func(b bounds) time.Duration
	inject func(x *injection) // returns when the fault has been healed
}

func (f fault) fits(topology string) bool { return f.on == nil || slices.Contains(f.on, topology) }

// bounds are the letters of PROTOCOL.md, of which bounds of recovery are made.
type bounds struct {
	T time.Duration // TTL
	G time.Duration // TTL that a hand-over gives
	P time.Duration // poll bound
	C time.Duration // of a command that gets no answer
	R time.Duration // until go-redis dials again
}

func newBounds(ttl time.Duration) bounds {
	const poll = 1200 * time.Millisecond
	return bounds{T: ttl, G: min(ttl, 3*poll), P: poll, C: commandTimeout, R: time.Second}
}

// A message that is lost, or late, is found by polling.
func (b bounds) message() time.Duration { return b.P }

// A command that gets no answer is given up, and asked again.
func (b bounds) reply() time.Duration { return b.C + b.P }

// Who was cut off connects again. What was held runs out, for it could not be
// released; and the lock may be handed to a ghost, which a request has left that was
// executed when its sender had given it up.
func (b bounds) outage() time.Duration { return b.C + b.R + b.P + b.T + b.G }

// A dead holder's key runs out, or is polled for; a dead waiter is handed the lock.
func (b bounds) death() time.Duration { return b.T + b.P + b.G + b.P }

type (
	proxy  = redistest.Proxy
	counts = redistest.Faults
)

// plain are the topologies in which a server that stands still is not replaced.
var plain = []string{"single", "aof", "replica", "cluster"}

// faults are all that there are, in no order that matters. What those that lose do loses
// what Redis was told: exclusion is void until all holds of before are over, and fences
// alone keep their order.
var faults = []fault{
	// The network.
	{"delay", "30, 37", nil, false, bounds.reply, wire(func(x *injection, p *proxy, on bool) {
		p.SetDelay(x.when(on, 5*time.Millisecond, 150*time.Millisecond))
	}, func(f counts) int64 { return f.Delayed })},
	{"black-hole", "35", nil, false, bounds.outage, wire(func(_ *injection, p *proxy, on bool) { p.Blackhole(on) }, held)},
	{"black-hole-requests", "34, 36", nil, false, bounds.outage, wire(func(_ *injection, p *proxy, on bool) { p.BlackholeRequests(on) }, held)},
	{"black-hole-replies", "32, 34", nil, false, bounds.outage, wire(func(_ *injection, p *proxy, on bool) { p.BlackholeReplies(on) }, held)},
	{"refuse", "44", nil, false, bounds.outage, wire(func(_ *injection, p *proxy, on bool) { p.Refuse(on) }, func(f counts) int64 { return f.Refused })},
	{"slice", "38", nil, false, bounds.reply, wire(func(_ *injection, p *proxy, on bool) { p.Slice(on) }, func(f counts) int64 { return f.Sliced })},
	{"cut-off-holder", "35", nil, false, bounds.outage, cutOffHolder},
	{"cut-request", "31", nil, false, bounds.reply, once((*proxy).CutNextRequest, func(f counts) int64 { return f.RequestsCut })},
	{"cut-reply", "32, 33", nil, false, bounds.reply, once((*proxy).CutNextReply, func(f counts) int64 { return f.RepliesCut })},
	{"lose-reply", "32", nil, false, bounds.reply, once((*proxy).LoseNextReply, func(f counts) int64 { return f.RepliesLost })},

	// Messages.
	{"drop-messages", "41", nil, false, bounds.message, wire(func(x *injection, p *proxy, on bool) {
		p.DropMessages(int(x.when(on, 1, 50)))
	}, func(f counts) int64 { return f.MessagesDropped })},
	{"duplicate-messages", "41", nil, false, bounds.message, wire(func(_ *injection, p *proxy, on bool) { p.DuplicateMessages(on) },
		func(f counts) int64 { return f.MessagesDuplicated })},
	{"delay-messages", "41", nil, false, bounds.outage, wire(func(x *injection, p *proxy, on bool) {
		p.DelayMessages(x.when(on, 20*time.Millisecond, x.ttl))
	}, func(f counts) int64 { return f.MessagesDelayed })},
	{"drop-subscribers", "40", nil, false, bounds.reply, func(x *injection) {
		n := 0
		for _, p := range x.proxies(x.some()) {
			n += p.DropSubscribers()
		}
		x.prove(n > 0, "the proxies closed %d connections", n)
	}},
	{"kill-pubsub", "40", nil, false, bounds.reply, func(x *injection) { x.killClients("pubsub") }},
	{"kill-normal", "39", nil, false, bounds.reply, func(x *injection) { x.killClients("normal") }},

	// Servers.
	{"script-flush", "16", nil, false, bounds.message, counting("NOSCRIPT", func(x *injection) {
		for range 1 + x.random.IntN(5) {
			x.command("SCRIPT", "FLUSH")
			x.sleep(0, 100*time.Millisecond)
		}
	})},
	{"out-of-memory", "12", nil, false, bounds.outage, counting("OOM", func(x *injection) { x.configured("maxmemory", 1) })},
	{"no-replicas", "8", []string{"replica"}, false, bounds.outage, counting("NOREPLICAS", func(x *injection) { x.configured("min-replicas-to-write", 2) })},
	{"busy", "17", plain, false, bounds.outage, counting("BUSY", func(x *injection) {
		x.command("CONFIG", "SET", "busy-reply-threshold", 100)
		x.command("EVAL", `local t = redis.call('TIME') local from = t[1] * 1000 + t[2] / 1000
			repeat t = redis.call('TIME') until t[1] * 1000 + t[2] / 1000 > from + ARGV[1] return 1`,
			0, x.between(200*time.Millisecond, time.Second).Milliseconds())
	})},
	{"pause-write", "18", plain, false, bounds.outage, func(x *injection) { x.pauseClients("WRITE") }},
	{"pause-all", "18", plain, false, bounds.outage, func(x *injection) { x.pauseClients("ALL") }},
	{"server-stop", "3, 4, 5", plain, false, bounds.outage, func(x *injection) {
		n := pick(x, x.topology.masters())
		n.Pause()
		x.prove(true, "process %d stood still", n.Pid())
		x.sleep(x.ttl/4, 2*x.ttl)
		n.Continue()
	}},
	{"restart-aof", "2", []string{"aof"}, false, bounds.outage, func(x *injection) { x.restart(x.topology.nodes[0]) }},
	{"restart-empty", "1", []string{"single", "cluster"}, true, bounds.outage, func(x *injection) {
		from := now()
		x.restart(pick(x, x.topology.masters()))
		x.lose("", from)
		for _, n := range x.topology.nodes {
			if x.topology.kind == "cluster" && !eventually(30*time.Second, func() bool {
				v, _ := n.try("CLUSTER", "INFO")
				text, _ := v.(string)
				return strings.Contains(text, "cluster_state:ok") && strings.Contains(text, "cluster_known_nodes:2")
			}) {
				panic("the cluster does not form")
			}
		}
	}},
	{"flush-all", "14", nil, true, bounds.outage, func(x *injection) {
		from, keys := now(), 0
		for _, n := range x.topology.masters() {
			keys += len(n.names())
			n.do("FLUSHALL")
		}
		x.lose("", from)
		x.prove(keys > 0, "there were %d keys", keys)
	}},
	{"delete-key", "13, 14", nil, true, bounds.outage, deleteKeys},

	// Workers.
	{"worker-stop", "25, 29", nil, false, bounds.death, func(x *injection) {
		m := x.one()
		if x.random.IntN(3) > 0 {
			h := x.lasting()
			if h == nil {
				return
			}
			m = x.fleet.members[h.worker]
		}
		held, queued := x.busy(m)
		check(m.child.Pause())
		x.prove(held+queued > 0, "process %d stood still, with %d holds and %d requests", m.child.Pid(), held, queued)
		x.sleep(x.ttl*8/10, 3*x.ttl)
		check(m.child.Continue())
	}},
	{"worker-kill", "26, 27, 28", nil, false, bounds.death, func(x *injection) {
		m := x.one()
		x.busy(m)
		before := m.child.Pid()
		x.fleet.kill(m, x.timeline)
		held, queued := x.timeline.open(m.plan.Worker, x.timeline.crashes[len(x.timeline.crashes)-1].t)
		x.prove(syscall.Kill(before, 0) != nil && held+queued > 0, "process %d died with %d holds and %d requests", before, held, queued)
	}},

	// Topologies.
	{"switch-master", "7", []string{"replica"}, false, bounds.outage, counting("READONLY", switchMaster)},
	{"failover-lost-writes", "6", []string{"sentinel"}, true, bounds.outage, loseWrites},
	{"failover-asked", "6", []string{"sentinel"}, true, bounds.outage, func(x *injection) {
		from, t := now(), x.topology
		check(t.watching[0].Failover(context.Background(), masterName).Err())
		t.elected()
		x.prove(true, "the sentinels have elected %s", t.nodes[t.master].Addr())
		t.settled()
		x.lose("", from) // the last writes may not have been replicated
	}},
	{"slot-move", "9, 10", []string{"cluster"}, false, bounds.outage, func(x *injection) {
		key := pick(x, x.keys)
		moved := x.topology.move(key, x.between(10*time.Millisecond, x.ttl/3))
		x.prove(moved > 0, "MIGRATE moved %d keys of the slot of %s", moved, key)
	}},
}

func held(f counts) int64 { return f.Held }

// wire turns a fault of some workers' connections on, and after up to two TTLs off.
func wire(set func(x *injection, p *proxy, on bool), count func(counts) int64) func(*injection) {
	return func(x *injection) {
		victims := x.some()
		x.busy(victims[0])
		proxies := x.proxies(victims)
		before := fired(proxies, count)
		for _, p := range proxies {
			set(x, p, true)
		}
		x.sleep(x.ttl/4, min(2*x.ttl, longest))
		for _, p := range proxies {
			set(x, p, false)
		}
		n := fired(proxies, count) - before
		x.prove(n > 0, "the proxies counted %d", n)
	}
}

// longest is a fault of peers that does not outlast their TTL, which is longer than ours.
const longest = 4 * time.Second

// once spoils a few exchanges with the server, of any of the system's commands.
func once(arm func(p *proxy, match string), count func(counts) int64) func(*injection) {
	return func(x *injection) {
		victims := x.some()
		if x.system != "baton" { // one of theirs may be starved, and send nothing
			victims = x.fleet.members
		}
		proxies := x.proxies(victims)
		before, armed := fired(proxies, count), int64(0)
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
		eventually(3*time.Second, func() bool { return fired(proxies, count)-before >= armed })
		n := fired(proxies, count) - before
		x.prove(n > 0, "the proxies counted %d of %d", n, armed)
	}
}

// cutOffHolder black-holes one worker, while it holds something, for longer than a TTL.
func cutOffHolder(x *injection) {
	h := x.lasting()
	if h == nil {
		return
	}
	proxies := x.proxies(x.fleet.members[h.worker : h.worker+1])
	before := fired(proxies, held)
	for _, p := range proxies {
		p.Blackhole(true)
	}
	x.sleep(x.ttl*15/10, x.ttl*22/10)
	for _, p := range proxies {
		p.Blackhole(false)
	}
	n := fired(proxies, held) - before
	x.prove(n > 0, "the proxies counted %d, and worker %d held %s", n, h.worker, h.key)
}

// killClients has the servers close connections.
func (x *injection) killClients(kind string) {
	var total int64
	for _, n := range x.topology.masters() {
		total += n.do("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes").(int64)
	}
	x.prove(total > 0, "the servers closed %d connections", total)
}

// counting is a fault that is proved by the errors that the servers count.
func counting(code string, inject func(*injection)) func(*injection) {
	return func(x *injection) {
		before := x.errors(code)
		inject(x)
		n := x.errors(code) - before
		x.prove(n > 0, "%d errors %s", n, code)
	}
}

// configured has a bad setting for a while.
func (x *injection) configured(name string, bad any) {
	x.command("CONFIG", "SET", name, bad)
	x.sleep(x.ttl/4, 2*x.ttl)
	x.command("CONFIG", "SET", name, 0)
}

// pauseClients has the servers answer nobody, or nobody who may write.
func (x *injection) pauseClients(mode string) {
	d := x.between(x.ttl/4, 2*x.ttl)
	x.command("CLIENT", "PAUSE", d.Milliseconds(), mode)
	start := time.Now()
	x.command("PUBLISH", "soak", "") // waits like any write
	took := time.Since(start)
	x.prove(took > d/2, "a PUBLISH took %v", took.Round(time.Millisecond))
}

// restart is a fault after which another process is the server.
func (x *injection) restart(n *node) {
	before := n.Pid()
	n.Kill()
	x.sleep(0, x.ttl)
	check(n.Restart())
	x.prove(n.Pid() != before, "the server was process %d and is %d", before, n.Pid())
}

// deleteKeys deletes a key of the workers, and maybe what goes with it, as eviction
// does.
func deleteKeys(x *injection) {
	key := pick(x, x.keys)
	from := now()
	for deleted := int64(0); deleted == 0 && now()-from < int64(2*time.Second); {
		for _, n := range x.topology.masters() {
			for _, name := range n.names() {
				if name != key && (!sibling(name, key) || x.random.IntN(2) == 0) {
					continue
				}
				// MOVED is impossible: the node has the key, and no slot moves now.
				if gone := n.do("DEL", name).(int64); name == key {
					deleted += gone
				}
			}
		}
		x.prove(deleted > 0, "DEL %s said %d", key, deleted)
	}
	x.lose(key, from)
}

// switchMaster has the two servers change places, with nothing lost, and back: to
// clients, which know of one address only, that one is read-only for a while.
func switchMaster(x *injection) {
	a, b := x.topology.nodes[0], x.topology.nodes[1]
	for _, turn := range [][2]*node{{a, b}, {b, a}} {
		turn[0].do("FAILOVER", "TO", "127.0.0.1", turn[1].Port(), "TIMEOUT", 10000)
		turn[1].await("role", "master")
		turn[0].await("master_link_status", "up")
		x.sleep(0, x.ttl)
	}
}

// loseWrites has the sentinels replace a master whose last writes have reached nobody.
func loseWrites(x *injection) {
	t := x.topology
	master, replica := t.nodes[t.master], t.nodes[1-t.master]
	from := now()
	// To stop the replica is not enough: what the master sends would lie in its socket.
	replica.Pause()
	master.do("CLIENT", "KILL", "TYPE", "replica")
	offset, _ := strconv.Atoi(master.info("master_repl_offset"))
	x.sleep(50*time.Millisecond, 400*time.Millisecond)
	lost, _ := strconv.Atoi(master.info("master_repl_offset"))
	master.Kill()
	replica.Continue()
	t.elected()
	x.prove(lost > offset, "at least %d bytes of writes were lost", lost-offset)
	check(master.Restart())
	master.do("REPLICAOF", "127.0.0.1", replica.Port())
	master.await("master_link_status", "up")
	t.settled()
	x.lose("", from)
}

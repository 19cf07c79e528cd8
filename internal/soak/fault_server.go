package main

import "time"

// plain are the topologies in which a server that stands still is not replaced.
var plain = []string{"single", "aof", "replica", "cluster"}

var serverFaults = []fault{
	{name: "script-flush", rows: "16", bound: bounds.message, inject: func(x *injection) error {
		before, err := x.sum("errorstat_NOSCRIPT")
		if err != nil {
			return err
		}
		for range 1 + x.random.IntN(5) {
			if err := x.command("SCRIPT", "FLUSH"); err != nil {
				return err
			}
			x.sleep(0, 100*time.Millisecond)
		}
		return x.refused("errorstat_NOSCRIPT", before)
	}},
	{name: "out-of-memory", rows: "12", bound: bounds.outage, inject: func(x *injection) error {
		return x.configured("maxmemory", "1", "0", "errorstat_OOM")
	}},
	{name: "no-replicas", rows: "8", on: []string{"replica"}, bound: bounds.outage, inject: func(x *injection) error {
		return x.configured("min-replicas-to-write", "2", "0", "errorstat_NOREPLICAS")
	}},
	{name: "busy", rows: "17", on: plain, bound: bounds.outage, inject: busy},
	{name: "pause-write", rows: "18", on: plain, bound: bounds.outage, inject: pauseClients("WRITE")},
	{name: "pause-all", rows: "18", on: plain, bound: bounds.outage, inject: pauseClients("ALL")},
	{name: "server-stop", rows: "3, 4, 5", on: plain, bound: bounds.outage, inject: stopServer},
	{name: "restart-aof", rows: "2", on: []string{"aof"}, bound: bounds.outage, inject: func(x *injection) error {
		n := x.topology.nodes[0]
		return x.restarted(n, func() error { return n.Restart() })
	}},
}

// refused proves the fault by the errors that the servers have counted.
func (x *injection) refused(field string, before int64) error {
	after, err := x.sum(field)
	if n := after - before; n > 0 {
		x.prove("%s %d", field, n)
	}
	return err
}

// configured is a fault that is a setting.
func (x *injection) configured(name, bad, good, counts string) error {
	before, err := x.sum(counts)
	if err != nil {
		return err
	}
	if err := x.command("CONFIG", "SET", name, bad); err != nil {
		return err
	}
	x.sleep(x.ttl/4, 2*x.ttl)
	if err := x.command("CONFIG", "SET", name, good); err != nil {
		return err
	}
	return x.refused(counts, before)
}

// busy runs a script for so long that the server refuses all others.
func busy(x *injection) error {
	before, err := x.sum("errorstat_BUSY")
	if err != nil {
		return err
	}
	const script = `local t = redis.call('TIME') local from = t[1] * 1000 + t[2] / 1000
		repeat t = redis.call('TIME') until t[1] * 1000 + t[2] / 1000 > from + ARGV[1] return 1`
	ms := x.between(200*time.Millisecond, time.Second).Milliseconds()
	if err := x.command("EVAL", script, 0, ms); err != nil {
		return err
	}
	return x.refused("errorstat_BUSY", before)
}

// pauseClients has the servers answer nobody, or nobody who may write.
func pauseClients(mode string) func(*injection) error {
	return func(x *injection) error {
		d := x.between(x.ttl/4, 2*x.ttl)
		if err := x.command("CLIENT", "PAUSE", d.Milliseconds(), mode); err != nil {
			return err
		}
		start := time.Now()
		if err := x.command("PUBLISH", "soak", ""); err != nil { // waits like any write
			return err
		}
		if took := time.Since(start); took > d/2 {
			x.prove("a PUBLISH took %v", took.Round(time.Millisecond))
		}
		return nil
	}
}

// stopServer stops a master, with its connections open, for less or more than a TTL.
func stopServer(x *injection) error {
	list := x.topology.masters()
	n := list[x.random.IntN(len(list))]
	n.Pause()
	if stopped(n.Pid()) {
		x.prove("process %d was in state T", n.Pid())
	}
	x.sleep(x.ttl/4, 2*x.ttl)
	n.Continue()
	return nil
}

// restarted is a fault after which another process is the server.
func (x *injection) restarted(n *node, restart func() error) error {
	before, err := n.info("run_id")
	if err != nil {
		return err
	}
	n.Kill()
	x.sleep(0, x.ttl)
	if err := restart(); err != nil {
		return err
	}
	after, err := n.info("run_id")
	if err == nil && after != before {
		x.prove("run_id was %.6s and is %.6s", before, after)
	}
	return err
}

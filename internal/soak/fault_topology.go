package main

import (
	"context"
	"strconv"
	"time"
)

var topologyFaults = []fault{
	{name: "switch-master", rows: "7", on: []string{"replica"}, bound: bounds.outage, inject: switchMaster},
	{name: "failover-lost-writes", rows: "6", loses: true, on: []string{"sentinel"}, bound: bounds.outage, inject: loseWrites},
	{name: "failover-asked", rows: "6", loses: true, on: []string{"sentinel"}, bound: bounds.outage, inject: func(x *injection) error {
		from := now()
		before, _ := x.topology.nodes[x.topology.master].info("run_id")
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := x.topology.sentinels[0].admin.Failover(ctx, masterName).Err(); err != nil {
			return err
		}
		err := x.topology.elected(1 - x.topology.master)
		x.lose("", from) // the last writes may not have been replicated
		if err != nil {
			return err
		}
		after, err := x.topology.nodes[x.topology.master].info("run_id")
		if err == nil && before != after {
			x.prove("the sentinels have elected %s", x.topology.nodes[x.topology.master].Addr())
		}
		if err == nil {
			err = x.topology.settled()
		}
		return err
	}},
	{name: "slot-move", rows: "9, 10", on: []string{"cluster"}, bound: bounds.outage, inject: func(x *injection) error {
		key := x.keys[x.random.IntN(len(x.keys))]
		moved, err := x.topology.move(key, x.between(10*time.Millisecond, x.ttl/3))
		if moved > 0 {
			x.prove("MIGRATE moved %d keys of the slot of %s", moved, key)
		}
		return err
	}},
}

// switchMaster has the two servers change places, with nothing lost, and back: to
// clients, which know of one address only, that one is read-only for a while.
func switchMaster(x *injection) error {
	a, b := x.topology.nodes[0], x.topology.nodes[1]
	before, err := x.sum("errorstat_READONLY")
	if err != nil {
		return err
	}
	for _, turn := range [][2]*node{{a, b}, {b, a}} {
		if _, err := turn[0].do("FAILOVER", "TO", "127.0.0.1", turn[1].Port(), "TIMEOUT", 10000); err != nil {
			return err
		}
		if err := turn[1].await("role", "master"); err != nil {
			return err
		}
		if err := turn[0].await("master_link_status", "up"); err != nil {
			return err
		}
		x.sleep(0, x.ttl)
	}
	return x.refused("errorstat_READONLY", before)
}

// loseWrites has the sentinels replace a master whose last writes have reached nobody.
func loseWrites(x *injection) error {
	t := x.topology
	master, replica := t.nodes[t.master], t.nodes[1-t.master]
	from := now()
	// To stop the replica is not enough: what the master sends would lie in its socket.
	replica.Pause()
	_, err := master.do("CLIENT", "KILL", "TYPE", "replica")
	offset, _ := master.info("master_repl_offset")
	x.sleep(50*time.Millisecond, 400*time.Millisecond)
	lost, _ := master.info("master_repl_offset")
	master.Kill()
	replica.Continue()
	if err != nil {
		return err
	}
	err = t.elected(1 - t.master)
	x.lose("", from)
	if err != nil {
		return err
	}
	a, _ := strconv.Atoi(offset)
	b, _ := strconv.Atoi(lost)
	if b > a {
		x.prove("at least %d bytes of writes were lost", b-a)
	}
	if err := master.Restart(); err != nil {
		return err
	}
	if err := t.follow(1-t.master, t.master); err != nil {
		return err
	}
	x.lose("", from) // again: somebody may have found it before it was a replica
	return t.settled()
}

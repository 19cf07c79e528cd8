package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// A topology is an arrangement of servers.
type topology struct {
	kind      string
	dir       string
	nodes     []*node
	sentinels []*sentinel
	master    int // of replica and sentinel: the node that takes writes
}

// topologies are in the order in which epochs take turns.
var topologies = []string{"single", "aof", "replica", "sentinel", "cluster"}

func newTopology(kind, dir string) (t *topology, err error) {
	t = &topology{kind: kind, dir: dir}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	count, args := 1, []string{"--busy-reply-threshold", "100"}
	switch kind {
	case "aof":
		args = append(args, "--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0")
	case "replica", "sentinel":
		count, args = 2, append(args, "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
	case "cluster":
		count, args = 2, append(args, "--cluster-enabled", "yes")
	}
	for i := range count {
		dir := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return t, err
		}
		n, err := newNode(dir, args...)
		if err != nil {
			return t, err
		}
		t.nodes = append(t.nodes, n)
	}
	return t, t.join()
}

// join makes one of what are servers on their own.
func (t *topology) join() error {
	switch t.kind {
	case "replica":
		return t.follow(1, 0)
	case "sentinel":
		if err := t.follow(1, 0); err != nil {
			return err
		}
		return t.watch()
	case "cluster":
		return t.form()
	}
	return nil
}

// follow makes a node the replica of another, and returns when it has all its data.
func (t *topology) follow(replica, master int) error {
	if _, err := t.nodes[replica].do("REPLICAOF", "127.0.0.1", t.nodes[master].Port()); err != nil {
		return err
	}
	return t.nodes[replica].await("master_link_status", "up")
}

func (t *topology) close() {
	for _, s := range t.sentinels {
		s.close()
	}
	for _, n := range t.nodes {
		n.close()
	}
}

// masters are the nodes that take writes.
func (t *topology) masters() []*node {
	if t.kind == "cluster" {
		return t.nodes
	}
	return t.nodes[t.master : t.master+1]
}

// servers is what clients are told.
func (t *topology) servers() (list []string) {
	if t.kind == "sentinel" {
		for _, s := range t.sentinels {
			list = append(list, s.addr)
		}
		return list
	}
	for _, n := range t.masters() {
		list = append(list, n.Addr())
	}
	return list
}

// form makes a cluster, of which each node has half of the slots.
func (t *topology) form() error {
	a, b := t.nodes[0], t.nodes[1]
	for _, c := range []struct {
		*node
		args []any
	}{
		{a, []any{"CLUSTER", "ADDSLOTSRANGE", 0, 8191}},
		{b, []any{"CLUSTER", "ADDSLOTSRANGE", 8192, 16383}},
		{a, []any{"CLUSTER", "SET-CONFIG-EPOCH", 1}},
		{b, []any{"CLUSTER", "SET-CONFIG-EPOCH", 2}},
		{a, []any{"CLUSTER", "MEET", "127.0.0.1", b.Port()}},
	} {
		if _, err := c.do(c.args...); err != nil {
			return err
		}
	}
	return t.formed()
}

// formed returns when all nodes know the whole cluster.
func (t *topology) formed() error {
	for _, n := range t.nodes {
		if !eventually(clusterTimeout, n.knowsAll) {
			return fmt.Errorf("soak: the cluster does not form")
		}
	}
	return nil
}

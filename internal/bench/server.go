package main

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// servers are the redis-server of all systems, or the masters of a cluster.
type servers struct {
	testing.TB
	nodes []*redistest.Server
}

// addr returns the addresses of all nodes.
func (s servers) addr() string {
	var all []string
	for _, node := range s.nodes {
		all = append(all, node.Addr())
	}
	return strings.Join(all, ",")
}

// flush deletes all keys.
func (s servers) flush() {
	for _, node := range s.nodes {
		rdb := dial(node.Addr())
		check(rdb.FlushDB(context.Background()).Err())
		check(rdb.Close())
	}
}

// A count has the statistics of the nodes since their start.
type count struct {
	requests int64
	cpu      time.Duration
}

// count returns the CPU time, and the number of commands that the system has sent. Redis also counts the commands
// inside scripts, so only scripts, subscribes, and the commands in direct are added.
func (s servers) count(sys system) (c count) {
	for _, node := range s.nodes {
		stats, info := node.Stats(s), node.Info(s)
		c.requests += stats.Requests()
		for command := range strings.FieldsSeq(sys.direct) {
			c.requests += stats.Calls[command]
		}
		for _, field := range []string{"used_cpu_user", "used_cpu_sys"} {
			c.cpu += time.Duration(must(strconv.ParseFloat(info[field], 64)) * float64(time.Second))
		}
	}
	return c
}

func (c count) since(earlier count) count {
	return count{c.requests - earlier.requests, c.cpu - earlier.cpu}
}

// roundTrip returns the median time of a single command.
func roundTrip(addr string) time.Duration {
	rdb := dial(addr)
	defer rdb.Close()
	times := make([]time.Duration, 21)
	for i := range times {
		start := time.Now()
		check(rdb.Ping(context.Background()).Err())
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	return times[len(times)/2]
}

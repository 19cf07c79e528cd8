package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A server is the redis-server of all systems, or the masters of a cluster.
type server struct {
	nodes  []*redistest.Server
	admins []redis.UniversalClient // one client per node
}

func newServer(nodes ...*redistest.Server) *server {
	s := &server{nodes: nodes}
	for _, node := range nodes {
		s.admins = append(s.admins, dial(node.Addr()))
	}
	return s
}

func (s *server) close() {
	for i, node := range s.nodes {
		_ = s.admins[i].Close()
		node.Kill()
	}
}

// addr returns the addresses of all nodes.
func (s *server) addr() string {
	var all []string
	for _, node := range s.nodes {
		all = append(all, node.Addr())
	}
	return strings.Join(all, ",")
}

// flush deletes all keys.
func (s *server) flush(ctx context.Context) (err error) {
	for _, admin := range s.admins {
		err = errors.Join(err, admin.FlushDB(ctx).Err())
	}
	return err
}

// A count has the statistics of the nodes since their start.
type count struct {
	calls map[string]int64
	all   int64 // requests
	cpu   time.Duration
}

func (s *server) count() (count, error) {
	c := count{calls: map[string]int64{}}
	for _, node := range s.nodes {
		stats, err := node.Measure()
		if err != nil {
			return c, err
		}
		c.all += stats.Requests()
		for command, n := range stats.Calls {
			c.calls[command] += n
		}
		info, err := node.Info()
		if err != nil {
			return c, err
		}
		for _, field := range []string{"used_cpu_user", "used_cpu_sys"} {
			seconds, err := strconv.ParseFloat(info[field], 64)
			if err != nil {
				return c, fmt.Errorf("invalid INFO field %s:%q", field, info[field])
			}
			c.cpu += time.Duration(seconds * float64(time.Second))
		}
	}
	return c, nil
}

func (c count) since(earlier count) count {
	for command, n := range earlier.calls {
		c.calls[command] -= n
	}
	return count{c.calls, c.all - earlier.all, c.cpu - earlier.cpu}
}

// requests returns the number of commands that the system has sent. Redis also counts the commands
// inside scripts, so only the commands in s.direct are added.
func (c count) requests(s system) int64 {
	n := c.all
	for command := range strings.FieldsSeq(s.direct) {
		n += c.calls[command]
	}
	return n
}

// runTrial runs the job once in n processes, on empty servers.
func (s *server) runTrial(ctx context.Context, n int, j job) (*trial, error) {
	if err := s.flush(ctx); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "baton-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	j.SharedMem = filepath.Join(dir, "memory")
	mem, unmap, err := openSharedMem(j.SharedMem)
	if err != nil {
		return nil, err
	}
	defer unmap()
	f, err := startFleet(ctx, n, j)
	if err != nil {
		return nil, err
	}
	defer f.end()
	before, err := s.count()
	if err != nil {
		return nil, err
	}
	all, err := f.run()
	if err != nil {
		return nil, err
	}
	after, err := s.count()
	return &trial{all, after.since(before), mem.clashes.Load(), mem.total}, err
}

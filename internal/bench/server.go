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

// A server is the redis-server under all systems, or the masters of a cluster, and what they count.
type server struct {
	nodes  []*redistest.Server
	admins []redis.UniversalClient // a client of each
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

// addr lists the addresses of all.
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

// A count is what the servers have counted since their start.
type count struct {
	calls map[string]int64
	asked int64
	cpu   time.Duration
}

func (s *server) count() (count, error) {
	c := count{calls: map[string]int64{}}
	for _, node := range s.nodes {
		stats, err := node.Measure()
		if err != nil {
			return c, err
		}
		c.asked += stats.Requests()
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
				return c, fmt.Errorf("INFO has %s:%q", field, info[field])
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
	return count{c.calls, c.asked - earlier.asked, c.cpu - earlier.cpu}
}

// requests counts what the system has sent. Redis counts a script's commands as
// well, so of the others only those which the system sends itself belong.
func (c count) requests(s system) int64 {
	n := c.asked
	for command := range strings.FieldsSeq(s.direct) {
		n += c.calls[command]
	}
	return n
}

// try has n processes do the job once, on empty servers.
func (s *server) try(ctx context.Context, n int, j job) (*trial, error) {
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

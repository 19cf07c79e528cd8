package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A server is the redis-server under all systems, and what it counts.
type server struct {
	*redistest.Server
	admin redis.UniversalClient
	peers []*server // the other masters, if it is one of a cluster
}

func newServer(s *redistest.Server) *server { return &server{Server: s, admin: dial(s.Addr())} }

func newCluster(c *redistest.Cluster) *server {
	s := newServer(c.Nodes[0])
	for _, node := range c.Nodes[1:] {
		s.peers = append(s.peers, newServer(node))
	}
	return s
}

func (s *server) hangUp() {
	_ = s.admin.Close()
	for _, peer := range s.peers {
		peer.hangUp()
	}
}

// Addr lists the addresses of all masters.
func (s *server) Addr() string {
	addr := s.Server.Addr()
	for _, peer := range s.peers {
		addr += "," + peer.Addr()
	}
	return addr
}

// flush deletes all keys.
func (s *server) flush(ctx context.Context) error {
	err := s.admin.FlushDB(ctx).Err()
	for _, peer := range s.peers {
		err = errors.Join(err, peer.flush(ctx))
	}
	return err
}

// A count is what the server has counted since its start.
type count struct {
	stats redistest.Stats
	cpu   time.Duration
}

func (s *server) count(ctx context.Context) (c count, err error) {
	if c.stats, err = s.Measure(); err != nil {
		return c, err
	}
	info, err := s.info(ctx, "cpu")
	if err != nil {
		return c, err
	}
	for _, field := range []string{"used_cpu_user", "used_cpu_sys"} {
		seconds, err := strconv.ParseFloat(info[field], 64)
		if err != nil {
			return c, fmt.Errorf("INFO says %s:%q", field, info[field])
		}
		c.cpu += time.Duration(seconds * float64(time.Second))
	}
	for _, peer := range s.peers {
		other, err := peer.count(ctx)
		if err != nil {
			return c, err
		}
		for command, n := range other.stats.Calls {
			c.stats.Calls[command] += n
		}
		c.cpu += other.cpu
	}
	return c, nil
}

func (c count) since(earlier count) count {
	return count{c.stats.Since(earlier.stats), c.cpu - earlier.cpu}
}

// requests counts what the system has sent. Redis counts a script's commands as
// well, so of the others only those which the system sends itself belong.
func (c count) requests(sys system) int64 {
	n := c.stats.Requests()
	for _, command := range sys.direct {
		n += c.stats.Calls[command]
	}
	return n
}

func (s *server) info(ctx context.Context, sections ...string) (map[string]string, error) {
	text, err := s.admin.Info(ctx, sections...).Result()
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if field, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[field] = value
		}
	}
	return fields, nil
}

// load is the machine's load average, where there is such a thing.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

const (
	masterName = "soak"
	downAfter  = 700 * time.Millisecond
)

// A sentinel is one of three.
type sentinel struct {
	*redistest.Child
	addr  string
	admin *redis.SentinelClient
}

func (s *sentinel) close() {
	_ = s.admin.Close()
	s.Kill()
}

// watch starts the sentinels, and returns when they know of one another.
func (t *topology) watch() error {
	for i := range 3 {
		s, err := newSentinel(filepath.Join(t.dir, "sentinel"+strconv.Itoa(i)), t.nodes[t.master].Port())
		if err != nil {
			return err
		}
		t.sentinels = append(t.sentinels, s)
	}
	for _, s := range t.sentinels {
		if !eventually(30*time.Second, s.ready) {
			return fmt.Errorf("soak: the sentinels do not find one another")
		}
	}
	return nil
}

func newSentinel(dir string, master int) (*sentinel, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	// Below the ports that outgoing connections are given, and not where servers are.
	port := 10000 + rand.IntN(9000)
	conf := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nlogfile %s\nsentinel monitor %s 127.0.0.1 %d 2\n"+
		"sentinel down-after-milliseconds %s %d\nsentinel failover-timeout %s 3000\n",
		port, dir, filepath.Join(dir, "log"), masterName, master, masterName, downAfter.Milliseconds(), masterName)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	child, err := redistest.Launched(exec.Command(redistest.Binary(), conf, "--sentinel"))
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return &sentinel{child, addr, redis.NewSentinelClient(&redis.Options{Addr: addr, DisableIdentity: true})}, nil
}

// ready tells whether it knows the others, and the replica.
func (s *sentinel) ready() bool {
	m, err := s.master()
	return err == nil && m["num-other-sentinels"] == "2" && m["num-slaves"] == "1" && m["flags"] == "master"
}

func (s *sentinel) master() (map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return s.admin.Master(ctx, masterName).Result()
}

// elected waits until all sentinels say that the node is the master, and it says so.
func (t *topology) elected(node int) error {
	port := strconv.Itoa(t.nodes[node].Port())
	for _, s := range t.sentinels {
		var m map[string]string
		var err error
		if !eventually(40*time.Second, func() bool { m, err = s.master(); return err == nil && m["port"] == port }) {
			return fmt.Errorf("soak: no failover to %s: %v %v", port, m, err)
		}
	}
	t.master = node
	return t.nodes[node].await("role", "master")
}

// settled returns when the sentinels see the master and its replica in good health, so
// that the next failover has somewhere to go.
func (t *topology) settled() error {
	for _, s := range t.sentinels {
		if !eventually(40*time.Second, s.ready) {
			return fmt.Errorf("soak: the sentinels do not settle")
		}
	}
	return t.nodes[1-t.master].await("master_link_status", "up")
}

package main

import (
	"context"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// A plan is what a worker process is told.
type plan struct {
	System           string
	Topology         string
	Servers          []string          // sentinels, of a failover
	Via              map[string]string // the worker's own proxy for each address
	Journal, Outcome string            // files
	TTL              time.Duration
	Seed             uint64
	Worker           uint8
	Generation       int // of workers in this place: those before it were killed
	Keys             []string
	Heeds            bool // go-redis' ContextTimeoutEnabled: a deadline ends a command under way
}

// planEnv makes the binary a worker; it holds the plan.
const planEnv = "BATON_SOAK_PLAN"

// commandTimeout is C of PROTOCOL.md: after that long go-redis gives up a command.
const commandTimeout = time.Second

// dial goes through the proxy, wherever a server is said to be by whom.
func (p *plan) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if via, ok := p.Via[addr]; ok {
		addr = via
	}
	d := net.Dialer{Timeout: commandTimeout}
	return d.DialContext(ctx, network, addr)
}

// client connects to the topology.
func (p *plan) client() redis.UniversalClient {
	o := &redis.UniversalOptions{
		Addrs: p.Servers, Dialer: p.dial, DisableIdentity: true, ContextTimeoutEnabled: p.Heeds, IsClusterMode: p.Topology == "cluster",
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		DialTimeout:              commandTimeout, ReadTimeout: commandTimeout, WriteTimeout: commandTimeout,
	}
	if p.Topology == "sentinel" {
		o.MasterName = masterName
	}
	return redis.NewUniversalClient(o)
}

package main

import (
	"context"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// A plan is the configuration of a worker process.
type plan struct {
	System           string
	Topology         string
	Servers          []string          // addresses; of the sentinels if there are any
	Via              map[string]string // the worker's own proxy for each address
	Journal, Outcome string            // files
	TTL              time.Duration
	Seed             uint64
	Worker           uint8
	Generation       int // number of the worker process at this position
	Keys             []string
	ContextTimeout   bool // go-redis' ContextTimeoutEnabled: a deadline ends a command under way
}

// planEnv makes the binary a worker. Its value is the plan.
const planEnv = "BATON_SOAK_PLAN"

// commandTimeout is C of PROTOCOL.md, go-redis' timeout of a command.
const commandTimeout = time.Second

// dial connects through the proxy of the address.
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
		Addrs: p.Servers, Dialer: p.dial, DisableIdentity: true, ContextTimeoutEnabled: p.ContextTimeout, IsClusterMode: p.Topology == "cluster",
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		DialTimeout:              commandTimeout, ReadTimeout: commandTimeout, WriteTimeout: commandTimeout,
	}
	if p.Topology == "sentinel" {
		o.MasterName = masterName
	}
	return redis.NewUniversalClient(o)
}

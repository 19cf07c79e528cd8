package redistest

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// A Proxy between clients and a server injects faults into their connections. It parses RESP, so a
// fault can affect one reply or one message. All methods are safe for concurrent use.
type Proxy struct {
	listener net.Listener
	ctx      context.Context // done when the proxy closes
	cancel   context.CancelFunc
	running  sync.WaitGroup // the accepting goroutine, and one per link

	mu       sync.Mutex
	links    map[*link]struct{}
	closed   bool
	target   string
	rules    []rule
	answers  []answer
	faults   Faults
	requests map[string]int64 // by command
	switches switches
}

// NewProxy listens on a port of its own and forwards to target, until the end of the test.
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	p, err := LaunchProxy(target)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// LaunchProxy is [NewProxy] for programs. It runs until Close.
func LaunchProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, links: map[*link]struct{}{}, requests: map[string]int64{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.running.Go(p.accept)
	return p, nil
}

// Addr returns the address for clients.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Client connects through the proxy, as [Server.Client] does directly.
func (p *Proxy) Client(tb testing.TB, opts ...func(*redis.Options)) *redis.Client {
	tb.Helper()
	return connect(tb, options(p.Addr()), opts)
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		l := newLink(p, client)
		if !p.admit(l) {
			client.Close()
			continue
		}
		p.running.Go(func() {
			l.run()
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.links, l)
		})
	}
}

func (p *Proxy) admit(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.switches.refuse {
		p.faults.Refused++
	}
	if p.closed || p.switches.refuse {
		return false
	}
	if p.switches.holdRequests {
		p.faults.Held++
	}
	p.links[l] = struct{}{}
	return true
}

// Close closes all connections, and waits for the goroutines of the proxy. The end of the test
// closes a proxy of NewProxy.
func (p *Proxy) Close() {
	p.cancel()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.listener.Close()
	for _, l := range p.open() {
		l.close()
	}
	p.running.Wait()
}

func (p *Proxy) open() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]*link, 0, len(p.links))
	for l := range p.links {
		list = append(list, l)
	}
	return list
}

// Faults returns the counts of the faults so far.
func (p *Proxy) Faults() Faults {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults
}

// Requests returns how many requests with the command, e.g. "evalsha", clients have sent, forwarded
// or not. Unlike the server's own statistics, it does not count commands inside scripts.
func (p *Proxy) Requests(command string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[strings.ToLower(command)]
}

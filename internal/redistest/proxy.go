package redistest

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// A Proxy stands between clients and a server and spoils their connections on
// command. It knows RESP, so it can pick one reply or one message. All methods
// may be called at any time from any goroutine.
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

// NewProxy listens on a port of its own and forwards to target, until the end
// of the test.
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	p, err := LaunchProxy(target)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// LaunchProxy is NewProxy for callers that are not a test. It runs until Close.
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

// Addr is where clients connect to.
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

// Close ends all connections, and returns when nothing is left of the proxy. For
// one of NewProxy the end of the test does it.
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

// Faults tells what the proxy has done so far.
func (p *Proxy) Faults() Faults {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults
}

// Requests counts the requests with the command, e.g. "evalsha", which clients
// have sent, whatever became of them. Unlike the server it does not count what
// runs inside scripts.
func (p *Proxy) Requests(command string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[strings.ToLower(command)]
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// A plan is the configuration of a worker process.
type plan struct {
	System, Topology string
	Servers          []string          // addresses; of the sentinels if there are any
	Via              map[string]string // the worker's own proxy for each address
	TTL              time.Duration
	Seed             uint64
	Worker           uint8
	Generation       int // number of the worker process at this position
	Keys             []string
	ContextTimeout   bool // go-redis' ContextTimeoutEnabled: a deadline ends a command under way
}

const (
	// planEnv makes the binary a worker. Its value is the plan.
	planEnv = "BATON_SOAK_PLAN"
	// leaked is the exit code of a worker that has left goroutines.
	leaked = 3
	// commandTimeout is C of PROTOCOL.md, go-redis' timeout of a command.
	commandTimeout = time.Second
)

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

// A worker has the shared data of the clients of a worker process.
type worker struct {
	plan    plan
	rdb     redis.UniversalClient
	request func(key string) acquireFunc // of the system
	journal io.Writer
	ctx     context.Context // done when the worker stops
	serial  atomic.Int64
}

// runWorker runs a worker, and does not return, in a process that the soak has started. Stdout is the journal. The
// worker stops when it reads a line from stdin. If stdin ends without a line, the parent has ended.
func runWorker() {
	text := os.Getenv(planEnv)
	if text == "" {
		return
	}
	w := &worker{journal: os.Stdout}
	check(json.Unmarshal([]byte(text), &w.plan))
	before := runtime.NumGoroutine()
	w.rdb = w.plan.client()
	w.request = systems[w.plan.System](w)
	var stop context.CancelFunc
	w.ctx, stop = context.WithCancel(context.Background())
	var clients sync.WaitGroup
	for i, key := range w.plan.Keys {
		for g, run := range workloadOf(key).run {
			if run != nil {
				random := rand.New(rand.NewPCG(w.plan.Seed, uint64(w.plan.Worker)<<32|uint64(w.plan.Generation)<<16|uint64(i*2+g)))
				clients.Go(func() { run(&client{w, key, random}) })
			}
		}
	}
	if _, err := bufio.NewReader(os.Stdin).ReadByte(); errors.Is(err, io.EOF) {
		os.Exit(1)
	}
	stop()
	clients.Wait()
	if text := w.leak(before); text != "" {
		fmt.Fprintf(os.Stderr, "soak: worker %d: %s\n", w.plan.Worker, text)
		os.Exit(leaked)
	}
	os.Exit(0)
}

// libraryCode matches a function of the library in a stack.
var libraryCode = regexp.MustCompile(`baton/internal/(client|lease|taskgroup|ratelimit|retry|redisstore)\.`)

// leak describes the goroutines of the library that are left when no lock is held or awaited. Then it closes the
// client, and describes all goroutines that are left.
func (w *worker) leak(before int) (text string) {
	if !eventually(10*time.Second, func() bool {
		text = ""
		for stack := range strings.SplitSeq(stacks(), "\n\n") {
			if libraryCode.MatchString(stack) {
				text += stack + "\n\n"
			}
		}
		return text == ""
	}) {
		return "goroutines of the library:\n" + text
	}
	w.rdb.Close()
	if w.plan.System == "baton" && !eventually(10*time.Second, func() bool { return runtime.NumGoroutine() <= before }) {
		return fmt.Sprintf("%d goroutines, %d at the start:\n%s", runtime.NumGoroutine(), before, stacks())
	}
	return ""
}

func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

func eventually(within time.Duration, cond func() bool) bool {
	for end := time.Now().Add(within); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

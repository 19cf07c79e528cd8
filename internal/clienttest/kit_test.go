package clienttest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func must[V any](v V, err error) V {
	if err != nil {
		panic(err)
	}
	return v
}

func closed(t *testing.T, rdb redis.UniversalClient) redis.UniversalClient {
	t.Cleanup(func() { _ = rdb.Close() }) // the test may have closed it already
	return rdb
}

// servers has the addresses for the clients.
type servers struct {
	addr, socket, secure string // of one server
	tls                  *tls.Config
	other                string // another server
	nodes                []string
	nodeReplica          string // of a node
	sentinels            []string
	replica              string // of the sentinels' master
}

func startServers(t *testing.T) *servers {
	t.Helper()
	dir := t.TempDir()
	s := &servers{socket: filepath.Join(dir, "socket")}
	web := httptest.NewTLSServer(nil) // has a certificate for 127.0.0.1
	defer web.Close()
	pair := web.TLS.Certificates[0]
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	s.tls = &tls.Config{RootCAs: roots}
	cert, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	for file, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		key:  {Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(pair.PrivateKey))},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	free := must(net.Listen("tcp", "127.0.0.1:0"))
	s.secure = free.Addr().String()
	_ = free.Close()
	_, port, _ := net.SplitHostPort(s.secure)
	one := redistest.Start(t, "--unixsocket", s.socket, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key,
		"--tls-ca-cert-file", cert, "--tls-auth-clients", "no")
	for user, rules := range map[string][]any{
		"user": {"~*", "&*", "+@all"}, "nochannels": {"~*", "resetchannels", "+@all"}, "noscripts": {"~*", "&*", "+@all", "-evalsha", "-eval"},
	} {
		one.Do(t, append([]any{"ACL", "SETUSER", user, "reset", "on", ">word"}, rules...)...)
	}
	s.addr, s.other = one.Addr(), redistest.Start(t).Addr()

	var wg sync.WaitGroup
	wg.Go(func() {
		sentinels := redistest.StartSentinels(t)
		s.sentinels, s.replica = sentinels.Addrs(), sentinels.Replica.Addr()
	})
	wg.Go(func() {
		cluster := redistest.StartCluster(t, 2)
		for _, node := range cluster.Nodes {
			s.nodes = append(s.nodes, node.Addr())
		}
		s.nodeReplica = cluster.Nodes[0].AddReplica(t, "--cluster-enabled", "yes").Addr()
	})
	if wg.Wait(); t.Failed() {
		t.FailNow()
	}
	return s
}

// client returns a client of addr, unless change sets another address.
func (s *servers) client(t *testing.T, change func(o *redis.Options)) *redis.Client {
	o := &redis.Options{Addr: s.addr}
	if change != nil {
		change(o)
	}
	return closed(t, redis.NewClient(o)).(*redis.Client)
}

// requests counts scripts by their first key.
type requests struct {
	mu   sync.Mutex
	sent map[string]int
}

// add counts a script, and returns the count of its key. It returns 0 for another command.
func (r *requests) add(cmd redis.Cmder) int {
	keys := redistest.KeysOf(cmd)
	if len(keys) == 0 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sent == nil {
		r.sent = map[string]int{}
	}
	r.sent[keys[0].(string)]++
	return r.sent[keys[0].(string)]
}

// of returns a function that returns the count of the key, with any prefix.
func (r *requests) of(key string) func() int {
	return func() (n int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for k, times := range r.sent {
			if strings.HasSuffix(k, key) {
				n += times
			}
		}
		return n
	}
}

func (r *requests) hook() redis.Hook {
	return redistest.BeforeScripts(func(_ context.Context, cmd redis.Cmder) { r.add(cmd) })
}

var errHook = errors.New("the hook's own error")

// stopping returns a hook that returns err instead of calling next for the first dial, or for the
// first command or pipeline of each key.
func stopping(command, pipeline, dial bool, err error) redis.Hook {
	var dials atomic.Int64
	sent := &requests{}
	stops := func(on bool, cmds ...redis.Cmder) bool {
		return on && slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return sent.add(cmd) == 1 })
	}
	return redistest.Hook{
		Dial: func(ctx context.Context, network, addr string, next redis.DialHook) (net.Conn, error) {
			if dial && dials.Add(1) == 1 {
				return nil, err
			}
			return next(ctx, network, addr)
		},
		Process: func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			if stops(command, cmd) {
				return err
			}
			return next(ctx, cmd)
		},
		Pipeline: func(ctx context.Context, cmds []redis.Cmder, next redis.ProcessPipelineHook) error {
			if stops(pipeline, cmds...) {
				return err
			}
			return next(ctx, cmds)
		},
	}
}

// A tagged client is not comparable.
type tagged struct {
	redis.UniversalClient
	tags []string
}

// A processing client overrides Process.
type processing struct{ redis.UniversalClient }

func (p *processing) Process(ctx context.Context, cmd redis.Cmder) error {
	return p.UniversalClient.Process(ctx, cmd)
}

// A pipelining client overrides Pipeline, and is not a pointer.
type pipelining struct{ tagged }

func (p pipelining) Pipeline() redis.Pipeliner { return p.UniversalClient.Pipeline() }

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
	"strings"
	"sync"
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
	t.Cleanup(func() { _ = rdb.Close() }) // the test may have
	return rdb
}

// servers are what the clients connect to.
type servers struct {
	addr, socket, secure string // of one server
	tls                  *tls.Config
	other                string // another
	nodes                []string
	slave                string // the replica of one of them
	sentinels            []string
	replica              string // of what they watch over
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
	for user, rights := range map[string][]any{
		"user": {"~*", "&*", "+@all"}, "deaf": {"~*", "resetchannels", "+@all"}, "mute": {"~*", "&*", "+@all", "-evalsha", "-eval"},
	} {
		one.Do(t, append([]any{"ACL", "SETUSER", user, "reset", "on", ">word"}, rights...)...)
	}
	s.addr, s.other = one.Addr(), redistest.Start(t).Addr()

	cluster := redistest.StartCluster(t, 2)
	for _, node := range cluster.Nodes {
		s.nodes = append(s.nodes, node.Addr())
	}
	s.slave = cluster.Nodes[0].AddReplica(t, "--cluster-enabled", "yes").Addr()

	watched := redistest.StartSentinels(t)
	s.sentinels, s.replica = watched.Addrs(), watched.Replica.Addr()
	return s
}

// client is one of the one server.
func (s *servers) client(t *testing.T, change func(o *redis.Options)) *redis.Client {
	o := &redis.Options{Addr: s.addr}
	if change != nil {
		change(o)
	}
	rdb := redis.NewClient(o)
	closed(t, rdb)
	return rdb
}

// looks counts the scripts by their first key.
type looks struct {
	mu   sync.Mutex
	seen map[string]int
}

// note counts a script, and returns how often there was one of its key.
func (l *looks) note(cmd redis.Cmder) int {
	if keys := redistest.KeysOf(cmd); len(keys) > 0 {
		return l.add(keys[0].(string), 1)
	}
	return 0
}

func (l *looks) add(key string, n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[string]int{}
	}
	l.seen[key] += n
	return l.seen[key]
}

func (l *looks) at(key string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, times := range l.seen {
		if strings.HasSuffix(k, key) { // there may be a prefix
			n += times
		}
	}
	return n
}

func (l *looks) hook() redis.Hook {
	return redistest.BeforeScripts(func(_ context.Context, cmd redis.Cmder) { l.note(cmd) })
}

var errHook = errors.New("the hook's own error")

// stopping returns a hook that does not call next the first time, for each key: of a command, of a
// pipeline, or of a dial. It returns err.
func stopping(command, pipeline, dial bool, err error) redis.Hook {
	met := &looks{}
	stops := func(on bool, cmds ...redis.Cmder) bool {
		for _, cmd := range cmds {
			if keys := redistest.KeysOf(cmd); on && len(keys) > 0 && met.note(cmd) == 1 {
				return true
			}
		}
		return false
	}
	return redistest.Hook{
		Dial: func(ctx context.Context, network, addr string, next redis.DialHook) (net.Conn, error) {
			if dial && met.add("", 1) == 1 {
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

// tagged cannot be compared.
type tagged struct {
	redis.UniversalClient
	tags []string
}

// processing has a method of its own.
type processing struct{ redis.UniversalClient }

func (p *processing) Process(ctx context.Context, cmd redis.Cmder) error {
	return p.UniversalClient.Process(ctx, cmd)
}

// pipelining is a value that has one.
type pipelining struct{ tagged }

func (p pipelining) Pipeline() redis.Pipeliner { return p.UniversalClient.Pipeline() }

package clients

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"hash/fnv"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

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
	slave, master := redistest.Start(t, "--cluster-enabled", "yes"), cluster.Nodes[0]
	id := master.Do(t, "CLUSTER", "MYID").(string)
	slave.Do(t, "CLUSTER", "MEET", "127.0.0.1", master.Port())
	redistest.Eventually(t, 20*time.Second, func() bool {
		return strings.Contains(slave.Do(t, "CLUSTER", "NODES").(string), id)
	}, "the replica knows its master")
	slave.Do(t, "CLUSTER", "REPLICATE", id)
	for _, node := range append(cluster.Nodes, slave) {
		redistest.Eventually(t, 20*time.Second, func() bool {
			return strings.Contains(node.Do(t, "CLUSTER", "NODES").(string), "slave "+id) &&
				strings.Contains(node.Do(t, "CLUSTER", "INFO").(string), "cluster_state:ok") &&
				(node != slave || strings.Contains(node.Do(t, "INFO", "replication").(string), "master_link_status:up"))
		}, "the cluster has a replica")
	}
	s.slave = slave.Addr()

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
	pass
	mu   sync.Mutex
	seen map[string]int
}

// note counts a script, and returns how often there was one of its key.
func (l *looks) note(cmd redis.Cmder) int {
	if keys := keysOf(cmd); len(keys) > 0 {
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

func (l *looks) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		l.note(cmd)
		return next(ctx, cmd)
	}
}

func (l *looks) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			l.note(cmd)
		}
		return next(ctx, cmds)
	}
}

// keysOf are the keys of a script.
func keysOf(cmd redis.Cmder) []any {
	if name := cmd.Name(); name != "evalsha" && name != "eval" {
		return nil
	}
	args := cmd.Args()
	return args[3 : 3+args[2].(int)]
}

// pass is a hook that does nothing.
type pass struct{}

func (pass) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (pass) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (pass) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

var errHook = errors.New("the hook's own error")

// stopping is a hook that does not call next the first time: of a command, and of a pipeline,
// for each key. It returns err.
type stopping struct {
	command, pipeline, dial bool
	err                     error
	met                     looks
}

// first reports whether one of the commands is the first for its key.
func (s *stopping) first(cmds ...redis.Cmder) bool {
	for _, cmd := range cmds {
		if keys := keysOf(cmd); len(keys) > 0 && s.met.note(cmd) == 1 {
			return true
		}
	}
	return false
}

func (s *stopping) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if s.dial && s.met.add("", 1) == 1 {
			return nil, s.err
		}
		return next(ctx, network, addr)
	}
}

func (s *stopping) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if s.command && s.first(cmd) {
			return s.err
		}
		return next(ctx, cmd)
	}
}

func (s *stopping) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if s.pipeline && s.first(cmds...) {
			return s.err
		}
		return next(ctx, cmds)
	}
}

// prefixing puts a prefix before each key, as for a tenant.
type prefixing struct{ pass }

func (prefixing) put(cmds ...redis.Cmder) {
	for _, cmd := range cmds {
		for i, key := range keysOf(cmd) {
			keysOf(cmd)[i] = "tenant:" + key.(string)
		}
	}
}

func (p prefixing) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		p.put(cmd)
		return next(ctx, cmd)
	}
}

func (p prefixing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		p.put(cmds...)
		return next(ctx, cmds)
	}
}

// sharding does what a proxy does that has several servers behind one address: it sends each
// command where the hash tag of its first key is.
type sharding []*redis.Client

func (s sharding) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s sharding) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		keys := keysOf(cmd)
		if len(keys) == 0 {
			return next(ctx, cmd)
		}
		tag := keys[0].(string)
		if _, after, ok := strings.Cut(tag, "{"); ok {
			if inner, _, ok := strings.Cut(after, "}"); ok && inner != "" {
				tag = inner
			}
		}
		hash := fnv.New32()
		_, _ = hash.Write([]byte(tag))
		return s[hash.Sum32()%uint32(len(s))].Process(ctx, cmd)
	}
}

func (s sharding) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) (err error) {
		for _, cmd := range cmds {
			err = errors.Join(err, s.ProcessHook(func(ctx context.Context, cmd redis.Cmder) error { return next(ctx, []redis.Cmder{cmd}) })(ctx, cmd))
		}
		return err
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

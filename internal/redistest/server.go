package redistest

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const missing = "redis-server is not on the PATH; install it (apt-get install redis-server) or run .ci/run"

// Binary returns the server that tests start: the file that BATON_REDIS_SERVER names, or the
// redis-server on the PATH.
func Binary() string { return cmp.Or(os.Getenv("BATON_REDIS_SERVER"), "redis-server") }

// A Server is a private redis-server process on 127.0.0.1. Its methods may be
// called from any goroutine.
type Server struct {
	port int
	dir  string
	args []string // the caller's, after our own but for a file
	env  []string // besides our own

	mu      sync.Mutex
	process *process      // nil while down
	admin   *redis.Client // one connection; nil while down
}

// Start runs a server until the end of the test. Further args override the
// defaults, e.g. "--appendonly", "yes"; the first may be a configuration file.
//
// The server is [Binary]. The test is skipped if there is none; it fails
// instead if the environment has a BATON_REQUIRE_REDIS.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return start(tb, nil, args)
}

func start(tb testing.TB, env, args []string) *Server {
	tb.Helper()
	requireServer(tb)
	s, err := launch(tb.TempDir(), env, args)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Kill) // quicker than Stop, and nothing is worth saving
	return s
}

// requireServer skips the test, or fails it, if there is no server.
func requireServer(tb testing.TB) {
	tb.Helper()
	if _, err := exec.LookPath(Binary()); err != nil {
		if os.Getenv("BATON_REQUIRE_REDIS") != "" {
			tb.Fatal(missing)
		}
		tb.Skip(missing)
	}
}

// Launch is Start for callers that are not a test: a TestMain, an example, a
// benchmark program. The server works in dir, also logs to redis.log there,
// and runs until Stop or Kill.
func Launch(dir string, args ...string) (*Server, error) { return launch(dir, nil, args) }

func launch(dir string, env, args []string) (*Server, error) {
	for range 20 {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		s := &Server{port: port, dir: dir, args: args, env: env}
		err = s.up()
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errPortTaken) {
			return nil, err
		}
	}
	return nil, errPortTaken
}

// freePort finds a port below the ephemeral range, so that while the server is
// down no outgoing connection of anybody is given its port.
func freePort() (int, error) {
	for range 100 {
		port := 20000 + rand.IntN(10000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("redistest: no free port between 20000 and 30000")
}

// Addr is the server's host and port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Port is the server's port, which stays the same over a Restart.
func (s *Server) Port() int { return s.port }

// URL is the server's address for [redis.ParseURL], with the password of
// "--requirepass" if that is among the args.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", Host: s.Addr()}
	if p := s.password(); p != "" {
		u.User = url.UserPassword("", p)
	}
	return u.String()
}

// Options are those of Client, for callers that are not a test.
func (s *Server) Options() *redis.Options {
	o := options(s.Addr())
	o.Password = s.password()
	return o
}

// Client connects to the server with go-redis's defaults, less the commands
// that go-redis adds on its own. It is closed when the test ends.
func (s *Server) Client(tb testing.TB, opts ...func(*redis.Options)) *redis.Client {
	tb.Helper()
	return connect(tb, s.Options(), opts)
}

// Pid is the process id, or 0 while the server is down.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.pid()
}

// Stop shuts the server down in good order and waits for its end. It kills a
// server which a running script keeps from stopping for more than 5 s.
func (s *Server) Stop() { s.down(func(p *process) { p.terminate(5 * time.Second) }) }

// Kill ends the server as a power cut would, and waits for its end.
func (s *Server) Kill() { s.down((*process).kill) }

func (s *Server) down(end func(*process)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.downLocked(end)
}

func (s *Server) downLocked(end func(*process)) {
	if s.process == nil {
		return
	}
	_ = s.admin.Close() // an idle connection to a server that ends anyway
	end(s.process)
	s.process, s.admin = nil, nil
}

// Restart starts the server again, with the same port, directory and args. It
// works after Stop, after Kill, and on a running server, which it kills.
func (s *Server) Restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.downLocked((*process).kill)
	for end := time.Now().Add(startTimeout); ; {
		err := s.upLocked()
		if !errors.Is(err, errPortTaken) || time.Now().After(end) {
			return err
		}
	}
}

// Pause stops the process with SIGSTOP: connections stay open and nothing
// answers. It returns when the server stands still. It panics if the server is
// down, as a test that expects a paused server would otherwise prove nothing.
func (s *Server) Pause() { s.signal((*process).pause) }

// Continue undoes Pause.
func (s *Server) Continue() { s.signal((*process).proceed) }

func (s *Server) signal(send func(*process) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		panic(fmt.Sprintf("redistest: server %s is down", s.Addr()))
	}
	if err := send(s.process); err != nil {
		panic(err)
	}
}

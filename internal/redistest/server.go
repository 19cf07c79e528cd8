package redistest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const missing = "redis-server is not on the PATH; install it (apt-get install redis-server) or run .ci/run"

// Binary returns the server program for tests: BATON_REDIS_SERVER, or redis-server on the PATH.
func Binary() string { return cmp.Or(os.Getenv("BATON_REDIS_SERVER"), "redis-server") }

// A Server is a private redis-server process on 127.0.0.1. All methods are safe for concurrent use.
type Server struct {
	port int
	dir  string
	args []string // of the caller
	env  []string // in addition to the environment of the test

	mu      sync.Mutex
	process *Child        // nil while down
	admin   *redis.Client // one connection; nil while down
}

// Start runs a server until the end of the test. The args override the defaults, e.g.
// "--appendonly", "yes"; the first may be a configuration file.
//
// The server is [Binary]. If it is missing, Start skips the test, or fails it if BATON_REQUIRE_REDIS
// is set.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return start(tb, nil, args)
}

func start(tb testing.TB, env, args []string) *Server {
	tb.Helper()
	if _, err := exec.LookPath(Binary()); err != nil {
		if os.Getenv("BATON_REQUIRE_REDIS") != "" {
			tb.Fatal(missing)
		}
		tb.Skip(missing)
	}
	dir := tb.TempDir()
	for attempt := 1; ; attempt++ {
		// Below the ephemeral range, so no outgoing connection can get the port while the server is down.
		s := &Server{port: 20000 + rand.IntN(10000), dir: dir, args: args, env: env}
		err := s.up()
		if err == nil {
			tb.Cleanup(s.Kill)
			return s
		}
		if !errors.Is(err, errPortTaken) || attempt == 20 {
			tb.Fatal(err)
		}
	}
}

const startTimeout = 10 * time.Second

var errPortTaken = errors.New("redistest: another process uses the server's port")

// up starts the process and returns when it answers PING.
func (s *Server) up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	log, err := os.Create(filepath.Join(s.dir, "redis.log"))
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own descriptor
	file, args := 0, s.args
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		file = 1 // must come first
	}
	cmd := exec.Command(Binary(), slices.Concat(args[:file], []string{"--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir,
		"--save", "", "--appendonly", "no"}, args[file:])...)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stdout, cmd.Stderr = log, log
	p, err := StartChild(cmd)
	if err != nil {
		return fmt.Errorf("redistest: start redis-server: %w", err)
	}
	if err := s.awaitAnswer(p); err != nil {
		p.Kill()
		output, _ := os.ReadFile(log.Name())
		if bytes.Contains(output, []byte("already in use")) {
			return errPortTaken
		}
		return fmt.Errorf("%w; its log:\n%s", err, output)
	}
	s.process, s.admin = p, s.ownClient(Patience)
	return nil
}

// ownClient returns a client with one connection, without retries.
func (s *Server) ownClient(timeout time.Duration) *redis.Client {
	o := s.Options()
	o.PoolSize, o.PipelinePoolSize, o.MaxRetries, o.DialerRetries = 1, -1, -1, 1
	o.ReadTimeout = timeout
	return redis.NewClient(o)
}

// awaitAnswer pings the server until it answers, ends, or takes too long.
func (s *Server) awaitAnswer(p *Child) error {
	end := time.Now().Add(startTimeout)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := s.ping(p.Pid())
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("redistest: redis-server does not answer: %w", err)
		}
		select {
		case <-p.done:
			return fmt.Errorf("redistest: redis-server ended: %v", p.err)
		case <-time.After(pause):
		}
	}
}

// ping sends a PING, and compares the process id: after a race for the port, another test's server
// might answer.
func (s *Server) ping(pid int) error {
	conn, err := net.DialTimeout("tcp", s.Addr(), time.Second)
	if err != nil { // go-redis would log it
		return err
	}
	conn.Close()
	rdb, ctx := s.ownClient(time.Second), context.Background()
	defer rdb.Close()
	if err := rdb.Ping(ctx).Err(); err != nil {
		return err
	}
	info, err := rdb.Info(ctx, "server").Result()
	if err == nil && !strings.Contains(info, fmt.Sprintf("process_id:%d\r", pid)) {
		err = errors.New("it is another process")
	}
	return err
}

// password returns the password of "--requirepass", or "".
func (s *Server) password() string {
	if i := slices.Index(s.args, "--requirepass"); i >= 0 {
		return s.args[i+1]
	}
	return ""
}

// Addr returns the server's host and port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Port returns the server's port. It does not change at a Restart.
func (s *Server) Port() int { return s.port }

// URL returns the server's address for [redis.ParseURL], with the password of "--requirepass", if any.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", Host: s.Addr()}
	if p := s.password(); p != "" {
		u.User = url.UserPassword("", p)
	}
	return u.String()
}

// Options returns the options of Client.
func (s *Server) Options() *redis.Options {
	o := options(s.Addr())
	o.Password = s.password()
	return o
}

// Client connects to the server with go-redis's defaults, without the commands that go-redis adds.
// It is closed when the test ends.
func (s *Server) Client(tb testing.TB, opts ...func(*redis.Options)) *redis.Client {
	tb.Helper()
	return connect(tb, s.Options(), opts)
}

// Pid returns the process id, or 0 while the server is down.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.Pid()
}

// Kill ends the server as a power cut would, and waits for its end.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return
	}
	_ = s.admin.Close() // the server ends anyway
	s.process.Kill()
	s.process, s.admin = nil, nil
}

// Restart starts the server again, with the same port, directory and args. It kills a running
// server.
func (s *Server) Restart() error {
	s.Kill()
	for end := time.Now().Add(startTimeout); ; {
		err := s.up()
		if !errors.Is(err, errPortTaken) || time.Now().After(end) {
			return err
		}
	}
}

// Pause stops the process with SIGSTOP: connections stay open, and the server does not answer. It
// returns when all threads have stopped. It panics if the server is down: a test of a paused server
// would prove nothing.
func (s *Server) Pause() { s.signal((*Child).Pause) }

// Continue resumes the process after Pause.
func (s *Server) Continue() { s.signal((*Child).Continue) }

func (s *Server) signal(send func(*Child) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		panic(fmt.Sprintf("redistest: server %s is down", s.Addr()))
	}
	must(send(s.process))
}

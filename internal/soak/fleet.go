package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A fleet is the group of workers of a test run, each behind proxies of its own.
type fleet []*member

// A member is a position in the fleet, for one worker process after another.
type member struct {
	plan    plan
	dir     string
	proxies map[string]*proxy // by server address
	child   *redistest.Child
	stdin   io.WriteCloser
	journal journal
}

// newFleet starts the workers and their proxies.
func newFleet(tb testing.TB, base plan, t *topology) (f fleet) {
	tb.Cleanup(func() { f.close() })
	base.Topology, base.Servers = t.kind, t.servers()
	for i := range 3 {
		m := &member{plan: base, dir: tb.TempDir(), proxies: map[string]*proxy{}}
		m.plan.Worker, m.plan.Via = uint8(i), map[string]string{}
		m.plan.ContextTimeout = i%2 == 0 || base.System != "baton" // without it, calls of peers would not return in time
		for _, n := range t.nodes {
			p := redistest.NewProxy(tb, n.Addr())
			m.proxies[n.Addr()], m.plan.Via[n.Addr()] = p, p.Addr()
		}
		m.start()
		f = append(f, m)
	}
	return f
}

// start starts a worker at the position, with the next generation.
func (m *member) start() {
	m.plan.Generation++
	cmd := exec.Command(must(os.Executable()))
	cmd.Env = append(os.Environ(), planEnv+"="+string(must(json.Marshal(m.plan))))
	out := must(os.Create(filepath.Join(m.dir, fmt.Sprint("journal-", m.plan.Generation))))
	defer out.Close() // the worker has its own descriptor
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	m.stdin = must(cmd.StdinPipe())
	m.child = must(redistest.StartChild(cmd))
	m.journal = journal{file: must(os.Open(out.Name()))}
}

// kill kills the worker with SIGKILL, and starts the next generation.
func (m *member) kill(s *timeline) {
	m.child.Kill()
	m.journal.read(s)
	m.journal.file.Close()
	s.crashes = append(s.crashes, crash{m.plan.Worker, now()})
	m.start()
}

// read adds new events to the timeline.
func (f fleet) read(s *timeline) {
	for _, m := range f {
		m.journal.read(s)
	}
}

// stop stops all workers, and returns the leaks that they report.
func (f fleet) stop(s *timeline) (leaks []violation) {
	for _, m := range f {
		_, _ = m.stdin.Write([]byte("stop\n")) // Wait below reports workers that have ended
	}
	for _, m := range f {
		timeout := time.AfterFunc(60*time.Second, m.child.Kill)
		err := m.child.Wait()
		timeout.Stop()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == leaked {
			leaks = append(leaks, violated("leak", "worker %d has left goroutines, see their stacks above", m.plan.Worker))
		} else if err != nil {
			panic(fmt.Sprintf("worker %d: %v", m.plan.Worker, err))
		}
	}
	f.read(s)
	return leaks
}

func (f fleet) close() {
	for _, m := range f {
		m.child.Kill()
		m.stdin.Close()
		m.journal.file.Close()
	}
}

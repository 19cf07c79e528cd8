package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A fleet are the workers of an epoch, each on proxies of its own.
type fleet struct {
	dir     string
	members []*member
}

// A member is a place in the fleet, for one worker after the other.
type member struct {
	plan    plan
	proxies map[string]*proxy // by the address of the server
	child   *redistest.Child
	stdin   io.WriteCloser
	journal *eventLog
}

// newFleet starts the workers, and their proxies.
func newFleet(h *harness, base plan, t *topology, workers int) *fleet {
	f := &fleet{dir: h.TempDir()}
	h.Cleanup(f.close)
	base.Topology, base.Servers = t.kind, t.servers()
	for i := range workers {
		m := &member{plan: base, proxies: map[string]*proxy{}}
		f.members = append(f.members, m)
		m.plan.Worker, m.plan.Via = uint8(i), map[string]string{}
		m.plan.Heeds = i%2 == 0 || base.System != "baton" // peers would not even return in time without it
		for _, n := range t.nodes {
			p := redistest.NewProxy(h, n.Addr())
			m.proxies[n.Addr()], m.plan.Via[n.Addr()] = p, p.Addr()
		}
		f.start(m)
	}
	return f
}

// start runs a worker in the place, under its next generation.
func (f *fleet) start(m *member) {
	m.plan.Generation++
	name := filepath.Join(f.dir, fmt.Sprintf("worker-%d-%d", m.plan.Worker, m.plan.Generation))
	m.plan.Journal, m.plan.Outcome = name+".journal", name+".outcome"
	if m.journal != nil {
		m.journal.file.Close()
	}
	m.journal = &eventLog{file: must(os.Create(m.plan.Journal))}
	cmd := exec.Command(must(os.Executable()))
	cmd.Env = append(os.Environ(), planEnv+"="+string(must(json.Marshal(m.plan))))
	cmd.Stderr = os.Stderr
	m.stdin = must(cmd.StdinPipe())
	m.child = must(redistest.StartChild(cmd))
}

// kill ends the worker as a power cut would, and has the next take its place.
func (f *fleet) kill(m *member, s *timeline) {
	m.child.Kill()
	m.journal.read(s.add)
	s.crashes = append(s.crashes, crash{m.plan.Worker, now()})
	f.start(m)
}

// read brings the story up to date.
func (f *fleet) read(s *timeline) {
	for _, m := range f.members {
		m.journal.read(s.add)
	}
}

// stop lets all workers finish, and returns what they have left behind.
func (f *fleet) stop(s *timeline) (leaks []violation) {
	for _, m := range f.members {
		_, _ = m.stdin.Write([]byte("stop\n")) // one that has ended is noticed below
	}
	for _, m := range f.members {
		late := time.AfterFunc(60*time.Second, m.child.Kill)
		if err := m.child.Wait(); err != nil {
			panic(fmt.Sprintf("worker %d: %v", m.plan.Worker, err))
		}
		late.Stop()
		if left := must(os.ReadFile(m.plan.Outcome)); len(left) > 0 {
			leaks = append(leaks, violated("leak", "worker %d: %s", m.plan.Worker, left))
		}
	}
	f.read(s)
	return leaks
}

func (f *fleet) close() {
	for _, m := range f.members {
		if m.child != nil {
			m.child.Kill()
			m.stdin.Close()
			m.journal.file.Close()
		}
	}
}

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
	base    plan
	dir     string
	members []*member
}

// A member is a place in the fleet, for one worker after the other.
type member struct {
	plan    plan
	proxies map[string]*redistest.Proxy // by the address of the server
	child   *redistest.Child
	stdin   io.WriteCloser
	journal *eventLog
}

// newFleet makes the places and the proxies; nobody works yet.
func newFleet(base plan, dir string, t *topology, workers int) (f *fleet, err error) {
	f = &fleet{base: base, dir: dir}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	f.base.Topology, f.base.Servers = t.kind, t.servers()
	for i := range workers {
		m := &member{plan: f.base, proxies: map[string]*redistest.Proxy{}}
		f.members = append(f.members, m)
		m.plan.Worker, m.plan.Via = uint8(i), map[string]string{}
		m.plan.Heeds = i%2 == 0 || base.System != "baton" // peers would not even return in time without it
		for _, n := range t.nodes {
			p, err := redistest.LaunchProxy(n.Addr())
			if err != nil {
				return f, err
			}
			m.proxies[n.Addr()] = p
			m.plan.Via[n.Addr()] = p.Addr()
		}
	}
	return f, nil
}

// start runs a worker in the place, under its next generation.
func (f *fleet) start(m *member) error {
	m.plan.Generation++
	name := filepath.Join(f.dir, fmt.Sprintf("worker-%d-%d", m.plan.Worker, m.plan.Generation))
	m.plan.Journal, m.plan.Outcome = name+".journal", name+".outcome"
	file, err := os.Create(m.plan.Journal)
	if err != nil {
		return err
	}
	if m.journal != nil {
		m.journal.file.Close()
	}
	m.journal = &eventLog{file: file}
	text, err := json.Marshal(m.plan)
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), planEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	if m.stdin, err = cmd.StdinPipe(); err != nil {
		return err
	}
	m.child, err = redistest.Launched(cmd)
	return err
}

// kill ends the worker as a power cut would, and has the next take its place.
func (f *fleet) kill(m *member, s *timeline) error {
	m.child.Kill()
	if err := m.journal.read(s.add); err != nil {
		return err
	}
	s.crashes = append(s.crashes, crash{m.plan.Worker, now()})
	return f.start(m)
}

// read brings the story up to date.
func (f *fleet) read(s *timeline) error {
	for _, m := range f.members {
		if m.journal == nil {
			continue
		}
		if err := m.journal.read(s.add); err != nil {
			return err
		}
	}
	return nil
}

// stop lets all workers finish, and returns what they have left behind.
func (f *fleet) stop(s *timeline) (leaks []violation, err error) {
	for _, m := range f.members {
		_, _ = m.stdin.Write([]byte("stop\n")) // one that has ended is noticed below
	}
	for _, m := range f.members {
		ends := make(chan error, 1)
		go func() { ends <- m.child.Wait() }()
		select {
		case err = <-ends:
		case <-time.After(60 * time.Second):
			m.child.Kill()
			<-ends
			return leaks, fmt.Errorf("soak: worker %d does not stop", m.plan.Worker)
		}
		if err != nil {
			return leaks, fmt.Errorf("soak: worker %d: %w", m.plan.Worker, err)
		}
		left, err := os.ReadFile(m.plan.Outcome)
		if err != nil {
			return leaks, err
		}
		if len(left) > 0 {
			leaks = append(leaks, violated("leak", "worker %d: %s", m.plan.Worker, left))
		}
	}
	return leaks, f.read(s)
}

func (f *fleet) close() {
	for _, m := range f.members {
		if m.child != nil {
			m.child.Kill()
			m.stdin.Close()
			m.journal.file.Close()
		}
		for _, p := range m.proxies {
			p.Close()
		}
	}
}

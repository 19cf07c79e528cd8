package main

import (
	"errors"
	"net"
	"net/rpc"
	"sync"
)

// A Register is what the locks guard, outside of Redis: for each key a number which
// every holder reads, and after a while writes back as one more. It is kept
// twice: once for whoever comes, as storage is without fencing, and once for those
// whose fence is not below the highest seen. Its methods are called by workers.
type Register struct {
	mu    sync.Mutex
	cells map[string]*cell
}

// A cell is of one key.
type cell struct {
	plain, fenced   int64 // the numbers
	written, passed int64 // writes to each
	highest         int64 // fence
	late            int64 // writes that only the plain one took
}

// Access is the argument of a Register's methods.
type Access struct {
	Key           string
	Fence         int64
	Plain, Fenced int64 // the new numbers, of a write
}

// Values are what a read returns.
type Values struct{ Plain, Fenced int64 }

func (r *Register) cell(key string) *cell {
	if r.cells[key] == nil {
		r.cells[key] = &cell{}
	}
	return r.cells[key]
}

// Read returns the numbers. It too raises the highest fence: a write that depends on
// a read must not be overtaken by one with a lower fence in between.
func (r *Register) Read(a Access, v *Values) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.cell(a.Key)
	c.highest = max(c.highest, a.Fence)
	v.Plain, v.Fenced = c.plain, c.fenced
	return nil
}

// Write stores the numbers.
func (r *Register) Write(a Access, _ *Values) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.cell(a.Key)
	c.plain = a.Plain
	c.written++
	if a.Fence < c.highest {
		c.late++
		return nil
	}
	c.highest = a.Fence
	c.fenced = a.Fenced
	c.passed++
	return nil
}

// wrong tells of keys whose fenced number has not counted its writes: one of them
// was overtaken, and its fence let it through.
func (r *Register) wrong() (list []violation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, c := range r.cells {
		if c.fenced != c.passed {
			list = append(list, violated("S2", "%s: the fenced register took %d writes and counts %d", key, c.passed, c.fenced))
		}
	}
	return list
}

// late counts the writes which the plain register took, and the fenced one refused,
// and the updates which the plain one has lost.
func (r *Register) late() (writes, updates int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.cells {
		writes += c.late
		updates += c.written - c.plain
	}
	return writes, updates
}

// serve lets workers reach the register through l until l is closed.
func (r *Register) serve(l net.Listener, running *sync.WaitGroup) {
	s := rpc.NewServer()
	if err := s.Register(r); err != nil {
		panic(err)
	}
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			running.Go(func() { s.ServeConn(conn) })
		}
	}
}

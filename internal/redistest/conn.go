package redistest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A conn is one end of an in-memory connection. Unlike [net.Pipe], it buffers writes: miniredis
// publishes under its global lock, and a subscriber that does not read would block the whole server.
// Waits are durable in a synctest bubble.
type conn struct {
	net.Conn // an end of a pipe, for the methods that have no effect
	in, out  *stream
}

// connPair returns both ends of a connection.
func connPair() (client, server *conn) {
	a, b := net.Pipe()
	up, down := newStream(), newStream()
	return &conn{a, down, up}, &conn{b, up, down}
}

func (c *conn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write never blocks.
func (c *conn) Write(p []byte) (int, error) { return c.out.write(p) }

// Close drops the bytes that this end has not read. The other end reads those that it was sent.
func (c *conn) Close() error {
	_ = c.SetReadDeadline(time.Time{}) // stops the timer
	c.in.set(func() { c.in.broken, c.in.data = true, nil })
	c.out.set(func() { c.out.ended = true })
	return c.Conn.Close()
}

func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c *conn) SetReadDeadline(t time.Time) error {
	s := c.in
	s.set(func() {
		s.deadline = t
		if s.timer != nil {
			s.timer.Stop()
		}
		if !t.IsZero() && !s.broken {
			s.timer = time.AfterFunc(time.Until(t), func() { s.set(func() {}) })
		}
	})
	return nil
}

// A stream is one direction of a connection. It buffers any number of bytes.
type stream struct {
	mu       sync.Mutex
	changed  sync.Cond
	data     []byte
	ended    bool      // by the writer
	broken   bool      // by the reader
	deadline time.Time // of reads; zero means none
	timer    *time.Timer
}

func newStream() *stream {
	s := new(stream)
	s.changed.L = &s.mu
	return s
}

// set changes the stream, and wakes the reader.
func (s *stream) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.changed.Broadcast()
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.broken:
			return 0, net.ErrClosed
		case !s.deadline.IsZero() && !time.Now().Before(s.deadline):
			return 0, os.ErrDeadlineExceeded
		case len(s.data) > 0:
			n := copy(p, s.data)
			s.data = s.data[n:]
			return n, nil
		case s.ended:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(p []byte) (n int, err error) {
	s.set(func() {
		switch {
		case s.ended:
			err = net.ErrClosed
		case s.broken:
			err = syscall.EPIPE
		default:
			s.data = append(s.data, p...)
			n = len(p)
		}
	})
	return n, err
}

package redistest

import (
	"net"
	"os"
	"sync"
	"time"
)

// A conn is one end of an in-memory connection. Unlike [net.Pipe], it buffers writes: miniredis
// publishes under its global lock, and a subscriber that does not read would block the whole server.
type conn struct {
	in, out *stream

	mu            sync.Mutex
	writeDeadline time.Time
}

// connPair returns both ends of a connection.
func connPair() (client, server *conn) {
	up, down := newStream(), newStream()
	return &conn{in: down, out: up}, &conn{in: up, out: down}
}

func (c *conn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write never blocks, so a deadline matters only if it has passed before the call.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	late := past(c.writeDeadline)
	c.mu.Unlock()
	if late {
		return 0, os.ErrDeadlineExceeded
	}
	return c.out.write(p)
}

func (c *conn) Close() error {
	c.in.closeReader()
	c.out.closeWriter()
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	c.in.setDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeDeadline = t
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return memoryAddr }
func (c *conn) RemoteAddr() net.Addr { return memoryAddr }

var memoryAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}

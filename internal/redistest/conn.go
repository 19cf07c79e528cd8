package redistest

import (
	"net"
	"sync"
)

// A bufferedConn is the server's end of a [net.Pipe], with a buffer for writes. Without it, a
// subscriber that does not read would block the whole miniredis, which publishes under its global lock.
// Waits are durable in a synctest bubble.
type bufferedConn struct {
	net.Conn
	mu      sync.Mutex
	changed sync.Cond
	data    []byte
	closed  bool
}

// connPair returns both ends of a connection in memory.
func connPair() (client, server net.Conn) {
	client, end := net.Pipe()
	c := &bufferedConn{Conn: end}
	c.changed.L = &c.mu
	go c.send()
	return client, c
}

// Write never blocks.
func (c *bufferedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	c.data = append(c.data, p...)
	c.changed.Signal()
	return len(p), nil
}

// send writes the buffered data until one of the ends is closed.
func (c *bufferedConn) send() {
	for {
		c.mu.Lock()
		for len(c.data) == 0 && !c.closed {
			c.changed.Wait()
		}
		data := c.data
		c.data = nil
		c.mu.Unlock()
		if len(data) == 0 {
			return
		}
		if _, err := c.Conn.Write(data); err != nil {
			_ = c.Close()
			return
		}
	}
}

// Close drops the data that the client has not read.
func (c *bufferedConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.changed.Signal()
	return c.Conn.Close()
}

package redistest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// A Forward is a port that leads to a server, for connections without RESP replies, such as a
// replica's. It can hold the bytes that the server sends.
type Forward struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	holding sync.Mutex // locked while replies are held
	conns   []net.Conn
}

// NewForward listens until the end of the test.
func NewForward(tb testing.TB, target string) *Forward {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	f := &Forward{listener: l, target: target}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			f.mu.Lock()
			f.conns = append(f.conns, client, server)
			f.mu.Unlock()
			running.Go(func() { io.Copy(server, client); server.Close() })
			running.Go(func() { f.reply(client, server); client.Close() })
		}
	})
	tb.Cleanup(func() { f.Close(); running.Wait() })
	return f
}

// Port returns the port for clients.
func (f *Forward) Port() int { return f.listener.Addr().(*net.TCPAddr).Port }

func (f *Forward) reply(client io.Writer, server io.Reader) {
	buf := make([]byte, 1<<16)
	for {
		n, err := server.Read(buf)
		f.holding.Lock()
		_, failed := client.Write(buf[:n])
		f.holding.Unlock()
		if err != nil || failed != nil {
			return
		}
	}
}

// Hold holds the bytes that the server sends from now on. The connections stay open until Close.
func (f *Forward) Hold() { f.holding.Lock() }

// Close closes the port and all connections. Held bytes are lost.
func (f *Forward) Close() {
	f.listener.Close()
	f.mu.Lock()
	for _, c := range f.conns {
		c.Close()
	}
	f.conns = nil
	f.mu.Unlock()
	f.holding.TryLock() // it is locked now, here or by Hold
	f.holding.Unlock()  // held bytes are written to closed connections
}

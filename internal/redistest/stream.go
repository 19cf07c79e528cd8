package redistest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A stream is one direction of a conn. It buffers any number of bytes, so a write never waits for
// the reader.
type stream struct {
	mu         sync.Mutex
	changed    *sync.Cond // waiting here is durable in a synctest bubble
	data       []byte
	writerGone bool
	readerGone bool
	deadline   time.Time // of reads; zero means none
	timer      *time.Timer
}

func newStream() *stream {
	s := &stream{}
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.readerGone:
			return 0, net.ErrClosed
		case past(s.deadline):
			return 0, os.ErrDeadlineExceeded
		case len(s.data) > 0:
			n := copy(p, s.data)
			s.data = s.data[n:]
			return n, nil
		case s.writerGone:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.writerGone:
		return 0, net.ErrClosed
	case s.readerGone:
		return 0, syscall.EPIPE
	}
	s.data = append(s.data, p...)
	s.changed.Broadcast()
	return len(p), nil
}

// setDeadline limits the reads, including those that wait already.
func (s *stream) setDeadline(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.deadline = t
	if s.readerGone || t.IsZero() {
		return
	}
	s.timer = time.AfterFunc(time.Until(t), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})
}

// closeReader drops unread bytes and makes writes fail.
func (s *stream) closeReader() {
	s.setDeadline(time.Time{}) // stops the timer
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readerGone, s.data = true, nil
	s.changed.Broadcast()
}

// closeWriter makes the reader return io.EOF after the written bytes.
func (s *stream) closeWriter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writerGone = true
	s.changed.Broadcast()
}

func past(deadline time.Time) bool {
	return !deadline.IsZero() && !time.Now().Before(deadline)
}

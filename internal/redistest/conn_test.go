package redistest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := connPair()
		buf := make([]byte, 16)
		if _, err := a.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if n, err := b.Read(buf); string(buf[:n]) != "hello" || err != nil {
			t.Fatalf("%q, %v", buf[:n], err)
		}

		start := time.Now()
		must(b.SetDeadline(start.Add(time.Minute)))
		if _, err := b.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if _, err := b.Write(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("late write: %v", err)
		}
		must(b.SetDeadline(time.Time{}))

		// A deadline set while a read waits applies to it, and so does a close.
		var reader sync.WaitGroup
		reader.Go(func() {
			if _, err := b.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read: %v", err)
			}
		})
		synctest.Wait()
		must(b.SetReadDeadline(time.Now()))
		reader.Wait()
		must(b.SetReadDeadline(time.Time{}))
		reader.Go(func() {
			if _, err := b.Read(buf); !errors.Is(err, net.ErrClosed) {
				t.Errorf("read: %v", err)
			}
		})
		synctest.Wait()
		must(b.Close())
		reader.Wait()
	})
}

func TestConnClose(t *testing.T) {
	a, b := connPair()
	must2(a.Write([]byte("last")))
	must(a.Close())
	if got, err := io.ReadAll(b); string(got) != "last" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := b.Write([]byte("x")); err == nil {
		t.Error("wrote to a closed end")
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
}

func must2(_ int, err error) { must(err) }

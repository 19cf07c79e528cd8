package redisstore

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// BenchmarkPermits says what the scripts cost the server: the commands that they
// call, and the time that it takes.
func BenchmarkPermits(b *testing.B) {
	name := lease.Name{Kind: lease.Semaphore, Key: "key"}
	request := func(token string, n, keep, want int64) lease.Request {
		return lease.Request{Name: name, Token: token, TTL: lockTTL, HandoverTTL: grantTTL, Seq: n, Channel: "to:" + token, Enqueue: true,
			Keep: keep, Want: want, WantSeq: n, Size: 10}
	}
	for _, row := range []struct {
		name string
		do   func(s *Store) error
	}{
		{"one alone", func(s *Store) error {
			_, err := s.Acquire(b.Context(), request("a", 1, 0, 1))
			if err == nil {
				_, err = s.Release(b.Context(), name, "a")
			}
			return err
		}},
		{"beside another", func(s *Store) error {
			_, err := s.Acquire(b.Context(), request("x", 1, 0, 1)) // a copy, but for the first time
			if err == nil {
				_, err = s.Acquire(b.Context(), request("a", 1, 0, 1))
			}
			if err == nil {
				_, err = s.Release(b.Context(), name, "a")
			}
			return err
		}},
		{"handed over", func(s *Store) error {
			_, err := s.Acquire(b.Context(), request("a", 1, 0, 10))
			if err == nil {
				_, err = s.Acquire(b.Context(), request("b", 1, 0, 10))
			}
			for _, token := range []string{"a", "b"} {
				if err == nil {
					_, err = s.Release(b.Context(), name, token)
				}
			}
			return err
		}},
		{"renew", func(s *Store) error {
			return renewAll(s, []lease.Renewal{{Name: name, Token: "x", TTL: lockTTL}})[0].Err
		}},
	} {
		b.Run(row.name, func(b *testing.B) {
			server := redistest.Start(b)
			s := NewStore(server.Client(b))
			if row.name == "renew" {
				if _, err := s.Acquire(b.Context(), request("x", 1, 0, 1)); err != nil {
					b.Fatal(err)
				}
			}
			before := server.Stats(b)
			usec := scriptTime(b, server)
			for b.Loop() {
				if err := row.do(s); err != nil {
					b.Fatal(err)
				}
			}
			calls := int64(0)
			spent := server.Stats(b).Since(before)
			for command, n := range spent.Calls {
				if !strings.HasPrefix(command, "eval") && command != "info" && command != "hello" {
					calls += n
				}
			}
			b.ReportMetric(float64(calls)/float64(b.N), "calls/op")
			b.ReportMetric(float64(spent.Scripts())/float64(b.N), "scripts/op")
			b.ReportMetric(float64(scriptTime(b, server)-usec)/float64(b.N), "µs-server/op")
		})
	}
}

// scriptTime is how many µs the server has spent in scripts that it knew.
func scriptTime(b *testing.B, s *redistest.Server) int64 {
	info := fmt.Sprint(s.Do(b, "INFO", "commandstats"))
	_, after, _ := strings.Cut(info, "cmdstat_evalsha:")
	_, after, _ = strings.Cut(after, "usec=")
	text, _, _ := strings.Cut(after, ",")
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

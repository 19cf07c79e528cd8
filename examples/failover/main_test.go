package main

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m, map[string]func(){"failover": main}) }

var line = regexp.MustCompile(`^process (\d+) (?:leads: term (\d+)|schedules a job)$`)

// TestFailover: processes lead one after another, with increasing terms. No process schedules a job
// after the next leader's start.
func TestFailover(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) string{
		"embedded": func(*testing.T) string { return "" },
		"redis":    func(t *testing.T) string { return redistest.Start(t).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := redistest.Spawn(t, "failover", "REDIS_URL="+start(t))
			leader, last := "", int64(0)
			jobs := map[string]int{}
			for text := range w.Lines() {
				t.Log(text)
				m := line.FindStringSubmatch(text)
				switch {
				case m == nil:
				case m[2] != "":
					term, err := strconv.ParseInt(m[2], 10, 64)
					if err != nil || term <= last {
						t.Errorf("term %s after %d", m[2], last)
					}
					leader, last = m[1], term
				case m[1] != leader:
					t.Errorf("process %s, which does not lead, schedules a job", m[1])
				default:
					jobs[leader]++
				}
			}
			if err := w.Wait(); err != nil || len(jobs) < 2 { // a process on a busy machine may be killed before its first job
				t.Errorf("%d leaders, %v", len(jobs), err)
			}
		})
	}
}

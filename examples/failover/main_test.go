package main

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m, map[string]func(){"failover": main}) }

var line = regexp.MustCompile(`^process (\d+) (?:leads: term (\d+)|schedules a job)$`)

// TestFailover: three processes lead one after another, with increasing terms. No process schedules a
// job after the next leader's start.
func TestFailover(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) string{
		"embedded": func(*testing.T) string { return "" },
		"redis":    func(t *testing.T) string { return redistest.Start(t).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := redistest.Spawn(t, "failover", "REDIS_URL="+start(t))
			var output []string
			var leaders []string
			last, scheduled := int64(0), map[string]bool{}
			for text := range w.Lines() {
				output = append(output, text)
				m := line.FindStringSubmatch(text)
				switch {
				case m == nil:
				case m[2] != "":
					term, err := strconv.ParseInt(m[2], 10, 64)
					if err != nil || term <= last {
						t.Errorf("term %s after %d", m[2], last)
					}
					last, leaders = term, append(leaders, m[1])
				case len(leaders) == 0 || leaders[len(leaders)-1] != m[1]:
					t.Errorf("printed %q, but the leaders are %q", text, leaders)
				default:
					scheduled[m[1]] = true
				}
			}
			if err := w.Wait(); err != nil || len(leaders) != 3 || len(scheduled) != 3 {
				t.Errorf("%d leaders, %v:\n%s", len(leaders), err, strings.Join(output, "\n"))
			}
		})
	}
}

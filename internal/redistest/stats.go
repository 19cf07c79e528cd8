package redistest

import (
	"strconv"
	"strings"
	"testing"
)

// Stats are the server's own counters since its start.
type Stats struct {
	// Calls counts commands by their lower-case name, subcommands as "config|set". Redis also counts
	// commands inside scripts: a GET in a script is a "get" and no request. Commands of the Server's
	// own methods, such as "info", are included.
	Calls map[string]int64
}

// Stats reads the counters. Use Since for the difference of two readings.
func (s *Server) Stats(tb testing.TB) Stats {
	tb.Helper()
	calls := map[string]int64{}
	for field, value := range s.Info(tb) {
		if command, ok := strings.CutPrefix(field, "cmdstat_"); ok {
			// calls=3,usec=27,usec_per_call=…
			n, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
			var err error
			calls[command], err = strconv.ParseInt(n, 10, 64)
			must(err)
		}
	}
	return Stats{calls}
}

// Since returns the difference to an earlier reading. A restart in between would reset the counters.
func (s Stats) Since(earlier Stats) Stats {
	calls := map[string]int64{}
	for command, n := range s.Calls {
		if n -= earlier.Calls[command]; n != 0 {
			calls[command] = n
		}
	}
	return Stats{calls}
}

// Requests counts the requests of this library: scripts, SCRIPT LOAD, subscribes and unsubscribes.
// It does not count PING and HELLO, which go-redis sends, nor commands that scripts run too.
func (s Stats) Requests() int64 {
	return s.Scripts() + s.Subscribes() +
		s.sum("script|load", "unsubscribe", "sunsubscribe", "punsubscribe")
}

// Scripts counts the calls of scripts, including those refused with NOSCRIPT.
func (s Stats) Scripts() int64 { return s.sum("evalsha", "eval", "evalsha_ro", "eval_ro") }

// Published counts the published messages, with or without subscribers.
func (s Stats) Published() int64 { return s.sum("publish", "spublish") }

// Subscribes counts the subscribe commands, each for any number of channels.
func (s Stats) Subscribes() int64 { return s.sum("subscribe", "ssubscribe", "psubscribe") }

func (s Stats) sum(commands ...string) int64 {
	var n int64
	for _, c := range commands {
		n += s.Calls[c]
	}
	return n
}

// Info returns the fields of INFO.
func (s *Server) Info(tb testing.TB) map[string]string {
	tb.Helper()
	// RESP3 sends a verbatim string; go-redis strips its format.
	fields := map[string]string{}
	for line := range strings.Lines(s.Do(tb, "INFO", "all").(string)) {
		if field, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[field] = value
		}
	}
	return fields
}

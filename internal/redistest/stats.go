package redistest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// Stats are the server's own counters since its start.
type Stats struct {
	// Calls counts commands by their lower-case name, subcommands as
	// "config|set". Redis also counts the commands that a script runs: a GET
	// in a script is a "get" and no request. Those of the questions which the
	// Server's methods ask, such as "info", are included.
	Calls map[string]int64

	Connections int64 // accepted, including the Server's own one
}

// Stats reads the counters. Take the difference of two readings by Since.
func (s *Server) Stats(tb testing.TB) Stats {
	tb.Helper()
	stats, err := s.Measure()
	if err != nil {
		tb.Fatal(err)
	}
	return stats
}

// Measure is Stats for callers that are not a test.
func (s *Server) Measure() (Stats, error) {
	info, err := s.Info()
	if err != nil {
		return Stats{}, err
	}
	calls := map[string]int64{}
	for field, value := range info {
		if command, ok := strings.CutPrefix(field, "cmdstat_"); ok {
			// calls=3,usec=27,usec_per_call=…
			n, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
			if calls[command], err = strconv.ParseInt(n, 10, 64); err != nil {
				return Stats{}, fmt.Errorf("redistest: INFO says %s:%s: %w", field, value, err)
			}
		}
	}
	connections, err := strconv.ParseInt(info["total_connections_received"], 10, 64)
	return Stats{calls, connections}, err
}

// Since is what was counted after the earlier reading. The server must not
// have been restarted in between: that sets its counters to zero.
func (s Stats) Since(earlier Stats) Stats {
	calls := map[string]int64{}
	for command, n := range s.Calls {
		if n -= earlier.Calls[command]; n != 0 {
			calls[command] = n
		}
	}
	return Stats{calls, s.Connections - earlier.Connections}
}

// Requests counts what a library that works by scripts and messages sends:
// the scripts, their loading, and the changes of subscriptions. It leaves out
// PING and HELLO, which the client library sends, and every command of which
// the server cannot tell whether a client sent it or a script ran it.
func (s Stats) Requests() int64 {
	return s.Scripts() + s.Subscribes() +
		s.sum("script|load", "unsubscribe", "sunsubscribe", "punsubscribe")
}

// Scripts counts the calls of scripts, including those refused with NOSCRIPT.
func (s Stats) Scripts() int64 { return s.sum("evalsha", "eval", "evalsha_ro", "eval_ro") }

// Published counts the messages published, by scripts or not, heard or not.
func (s Stats) Published() int64 { return s.sum("publish", "spublish") }

// Subscribes counts the subscribing commands, each of any number of channels.
func (s Stats) Subscribes() int64 { return s.sum("subscribe", "ssubscribe", "psubscribe") }

func (s Stats) sum(commands ...string) int64 {
	var n int64
	for _, c := range commands {
		n += s.Calls[c]
	}
	return n
}

// Info returns the fields of INFO.
func (s *Server) Info() (map[string]string, error) {
	reply, err := s.do("INFO", "all")
	if err != nil {
		return nil, err
	}
	// RESP3 sends a verbatim string; go-redis strips its format.
	fields := map[string]string{}
	for line := range strings.Lines(reply.(string)) {
		if field, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[field] = value
		}
	}
	return fields, nil
}

package mutex

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redisstore"
)

// A Level is how serious a [Finding] is.
type Level int

// The levels of findings. Greater is more serious.
const (
	LevelOK      Level = iota // as it should be
	LevelUnknown              // the server does not report it
	LevelWarning              // locks work, but some event may lose them or slow them down
	LevelFailure              // locks do not work, or are not safe
)

func (l Level) String() string {
	switch l {
	case LevelOK:
		return "ok"
	case LevelUnknown:
		return "unknown"
	case LevelWarning:
		return "warning"
	case LevelFailure:
		return "failure"
	}
	return "Level(" + strconv.Itoa(int(l)) + ")"
}

// A Finding is the result of one check: what was found, what it means for locks, and
// what to change.
type Finding struct {
	Check  string // its name, for example "pubsub"
	Level  Level
	Found  string // what was found
	Means  string // what that means for locks; empty if all is well
	Remedy string // what to change; empty if there is nothing to change
}

// A Report is what [Check] has found out about a server. Its String is for people.
type Report struct {
	Server    string        // name and version, "" if the server does not report it
	RoundTrip time.Duration // the shortest of a few
	ClockSkew time.Duration // of the server's clock; positive if it is ahead. It is 0 if the server does not report its time.
	Findings  []Finding     // in the order of the checks
}

// Level returns the level of the most serious finding.
func (r Report) Level() (most Level) {
	for _, f := range r.Findings {
		most = max(most, f.Level)
	}
	return most
}

// String returns the report for people, with a line for each finding.
func (r Report) String() string {
	var b strings.Builder
	name := r.Server
	if name == "" {
		name = "unknown"
	}
	fmt.Fprintf(&b, "server: %s\nround trip: %v\nclock skew: %v\n", name, r.RoundTrip.Round(time.Microsecond), r.ClockSkew.Round(time.Millisecond))
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s: %s: %s", f.Level, f.Check, f.Found)
		for _, more := range []string{f.Means, f.Remedy} {
			if more != "" {
				fmt.Fprintf(&b, ". %s", more)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Check reports what the Redis server supports, and which of its settings may cause locks to
// be lost. It runs scripts and sends messages. It does not rely on the server's name and
// version. It also works if the server refuses INFO or CONFIG. It keeps the server busy for a few
// milliseconds, and leaves nothing behind for longer than 10 s.
//
// Check returns an error if the client is nil or a Ring, if the server does not answer,
// or if ctx is done. What the server cannot do is in the report.
func Check(ctx context.Context, rdb redis.UniversalClient) (Report, error) {
	if err := ctx.Err(); err != nil {
		return Report{}, fmt.Errorf("baton: check: %w", context.Cause(ctx))
	}
	r, err := redisstore.Check(ctx, rdb)
	if err != nil {
		return Report{}, fmt.Errorf("baton: check: %w", err)
	}
	report := Report{Server: r.Server, RoundTrip: r.RoundTrip, ClockSkew: r.ClockSkew}
	for _, f := range r.Findings {
		report.Findings = append(report.Findings, Finding{f.Check, Level(f.Level), f.Found, f.Means, f.Remedy})
	}
	return report, nil
}

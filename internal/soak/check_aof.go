package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// transactions reads the commands of an append-only file in the order of their execution. The commands
// of a script are one transaction.
func transactions(file io.Reader, each func([][]string)) error {
	r := bufio.NewReader(file)
	var open [][]string
	inside := false
	for {
		command, err := nextCommand(r)
		// A server that is killed during a write leaves an incomplete command at the end.
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch strings.ToUpper(command[0]) {
		case "MULTI":
			inside, open = true, nil
		case "EXEC":
			inside = false
			each(open)
		default:
			if inside {
				open = append(open, command)
			} else {
				each([][]string{command})
			}
		}
	}
}

func nextCommand(r *bufio.Reader) (words []string, err error) {
	line, err := r.ReadString('\n')
	for err == nil && strings.HasPrefix(line, "#") {
		line, err = r.ReadString('\n')
	}
	if err != nil {
		return nil, err
	}
	count, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "*")))
	if err != nil {
		return nil, fmt.Errorf("invalid command: %q", line)
	}
	for range count {
		if line, err = r.ReadString('\n'); err != nil {
			return nil, err
		}
		n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "$")))
		if err != nil {
			return nil, fmt.Errorf("invalid argument: %q", line)
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		words = append(words, string(b[:n]))
	}
	return words, nil
}

// An aofChecker replays the commands on mutexes. It checks that no hand-over skips a waiter, and that no
// claim is renewed after its last release.
type aofChecker struct {
	ttl              time.Duration
	skew             int64             // the servers' time minus now(), in ns
	ends             map[claimID]int64 // see lastReleases
	locks            map[string]*lock
	renewals, grants int // checked
	list             []violation
}

type claimID struct {
	key  string
	base int64 // fence base
}

// lastReleases returns the time of each claim's last release. It leaves out claims that may be renewed
// later, because a hold was not released or another request of the process was waiting.
func lastReleases(s *timeline) map[claimID]int64 {
	ends := map[claimID]int64{}
	for _, key := range keys {
		all, last := s.intervals(key), map[int64]*interval{}
		for _, h := range all {
			if o := last[h.fence>>10]; h.granted() && (o == nil || o.released < h.released) {
				last[h.fence>>10] = h
			}
		}
		for base, h := range last {
			if !slices.ContainsFunc(all, func(o *interval) bool {
				return o.worker == h.worker && (o.granted() && o.fence>>10 == base && (o.released == 0 || o.end != ok) ||
					o != h && o.requested < h.released && (o.replied == 0 || o.replied > h.release))
			}) {
				ends[claimID{key, base}] = h.released
			}
		}
	}
	return ends
}

// A lock is the state of a mutex in the append-only file so far.
type lock struct {
	queue   map[string]int64 // token to position
	before  map[string]int64 // queue before the current transaction
	granted string           // the token to which the transaction grants the lock
	renewed int64            // the new expiry, in the server's ms
	base    int64            // fence base of the owner
}

var partOf = regexp.MustCompile(`^(?:([mp]\d)|baton:\{([mp]\d)\}:(queue|fence))$`)

// apply applies a transaction. It checks a grant at the end of the transaction.
func (l *aofChecker) apply(transaction [][]string) {
	touched := map[string]*lock{}
	for _, c := range transaction {
		if c[0] = strings.ToUpper(c[0]); c[0] == "FLUSHALL" {
			clear(l.locks)
		}
		if len(c) < 2 {
			continue
		}
		m := partOf.FindStringSubmatch(c[1])
		if m == nil {
			continue
		}
		key := m[1] + m[2]
		if l.locks[key] == nil {
			l.locks[key] = &lock{queue: map[string]int64{}}
		}
		k := l.locks[key]
		if touched[key] == nil {
			touched[key], k.before, k.granted, k.renewed = k, maps.Clone(k.queue), "", 0
		}
		switch n := len(c); {
		case m[1] != "" && c[0] == "SET":
			k.granted = c[2]
		case m[1] != "" && c[0] == "PEXPIREAT":
			k.renewed, _ = strconv.ParseInt(c[2], 10, 64)
		case m[3] == "fence" && c[0] == "SET":
			k.base, _ = strconv.ParseInt(c[2], 10, 64)
		case m[3] != "queue":
		case c[0] == "ZADD": // ZADD NX is in the file if it has added a member
			k.queue[c[n-1]], _ = strconv.ParseInt(c[n-2], 10, 64)
		case c[0] == "ZREM":
			for _, token := range c[2:] {
				delete(k.queue, token)
			}
		case c[0] == "DEL", c[0] == "UNLINK":
			clear(k.queue)
		}
	}
	for key, k := range touched {
		if k.granted == "" { // otherwise a renewal belongs to a yield
			if end, known := l.ends[claimID{key, k.base}]; known && k.renewed != 0 {
				l.renewals++
				if late := k.renewed - l.ttl.Milliseconds() - (end+l.skew)/1e6; late > 20 { // 20 ms for the clock difference
					l.list = append(l.list, violated("S3", "%s was renewed (fences from %d) %d ms after its last release", key, k.base<<10, late))
				}
			}
			continue
		}
		l.grants++
		place, waited := k.before[k.granted]
		for token, p := range k.before {
			if _, waits := k.queue[token]; waits && (p < place || !waited) {
				l.list = append(l.list, violated("FIFO", "%s was granted to %s at position %d, although %s waits at position %d", key, k.granted, place, token, p))
			}
		}
	}
}

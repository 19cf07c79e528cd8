package main

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An aofChecker replays the commands of an append-only file on mutexes. It checks that no hand-over skips a waiter,
// and that no claim is renewed after its last release.
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

func newAOFChecker(s *timeline, ttl time.Duration, skew int64) *aofChecker {
	return &aofChecker{ttl: ttl, skew: skew, ends: lastReleases(s), locks: map[string]*lock{}}
}

// lastReleases returns the time of each claim's last release. It leaves out claims that may be renewed
// later, because a hold was not released or another request of the process was waiting.
func lastReleases(s *timeline) map[claimID]int64 {
	ends := map[claimID]int64{}
	for _, key := range keys {
		all, last := s.intervals(key), map[int64]*interval{}
		for _, h := range all {
			if o := last[h.Fence>>10]; h.granted() && (o == nil || o.Released < h.Released) {
				last[h.Fence>>10] = h
			}
		}
		for base, h := range last {
			if !slices.ContainsFunc(all, func(o *interval) bool {
				return o.Worker == h.Worker && (o.granted() && o.Fence>>10 == base && (o.Released == 0 || o.End != ok) ||
					o != h && o.Requested < h.Released && (o.Replied == 0 || o.Replied > h.Release))
			}) {
				ends[claimID{key, base}] = h.Released
			}
		}
	}
	return ends
}

// replay reads a file: for each command the number of words, and for each word its length and the word. A server
// that is killed during a write leaves an incomplete command at the end. The commands of a script are one transaction.
func (l *aofChecker) replay(file string) {
	var open [][]string
	inside := false
	for words := strings.Split(file, "\r\n"); len(words) > 1; {
		if strings.HasPrefix(words[0], "#") { // a timestamp
			words = words[1:]
			continue
		}
		count := must(strconv.Atoi(strings.TrimPrefix(words[0], "*")))
		if len(words) <= 2*count+1 {
			return
		}
		command := make([]string, count)
		for i := range command {
			command[i] = words[2*i+2]
		}
		words = words[2*count+1:]
		command[0] = strings.ToUpper(command[0])
		switch {
		case command[0] == "MULTI":
			inside, open = true, nil
		case command[0] == "EXEC":
			inside = false
			l.apply(open)
		case inside:
			open = append(open, command)
		default:
			l.apply([][]string{command})
		}
	}
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
		if c[0] == "FLUSHALL" {
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
		if k.granted != "" { // a renewal then belongs to a yield
			l.checkGrant(key, k)
		} else if end, known := l.ends[claimID{key, k.base}]; known && k.renewed != 0 {
			l.renewals++
			if late := k.renewed - l.ttl.Milliseconds() - (end+l.skew)/1e6; late > 20 { // 20 ms for the clock difference
				l.list = append(l.list, violated("S3", "%s was renewed (fences from %d) %d ms after its last release", key, k.base<<10, late))
			}
		}
	}
}

func (l *aofChecker) checkGrant(key string, k *lock) {
	l.grants++
	place, waited := k.before[k.granted]
	for token, p := range k.before {
		if _, waits := k.queue[token]; waits && (p < place || !waited) {
			l.list = append(l.list, violated("FIFO", "%s was granted to %s at position %d, although %s waits at position %d", key, k.granted, place, token, p))
		}
	}
}

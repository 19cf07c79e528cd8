package main

import (
	"maps"
	"regexp"
	"strconv"
	"strings"
)

// A ledger replays what Redis has done to the mutexes, and holds it against what their
// holders say.
type ledger struct {
	locks map[string]*lock
	// When the last lease of a claim was released, by its fence base. It is 0 if one was
	// not, and its key runs out by itself, or if others of its process waited: then
	// the claim is theirs, or yielded, and a release need not hear from Redis.
	ends map[int64]int64
	skew int64 // the servers' time less that of now, in ns

	renewals, turns int // that were looked at
	list            []violation
}

// A lock is what the append-only file says of a mutex so far.
type lock struct {
	owner string
	base  int64            // the last fence base, which is the owner's
	queue map[string]int64 // places
}

// A grantRecord is what a transaction does to a lock.
type grantRecord struct {
	queue   map[string]int64 // before it
	granted string           // the new owner
	renewed int64            // until when, in the server's ms
}

// maxReplyLag is by how much the two clocks may differ.
const maxReplyLag = 20 // ms

func mutexKey(key string) bool { return key[0] == 'm' || key[0] == 'p' }

func newLedger(s *timeline, skew int64) *ledger {
	l := &ledger{locks: map[string]*lock{}, ends: map[int64]int64{}, skew: skew}
	type place struct {
		worker uint8
		key    string
	}
	last, there := map[int64]*interval{}, map[place][]*interval{}
	for _, h := range s.list {
		if !mutexKey(h.key) {
			continue
		}
		there[place{h.worker, h.key}] = append(there[place{h.worker, h.key}], h)
		if other := last[h.fence>>10]; h.granted() && (other == nil || other.released < h.released) {
			last[h.fence>>10] = h
		}
	}
	for base, h := range last {
		l.ends[base] = h.released
		for _, o := range there[place{h.worker, h.key}] {
			unreleased := o.granted() && o.fence>>10 == base && (o.released == 0 || o.end != ok)
			if unreleased || o != h && o.asked < h.released && (o.answered == 0 || o.answered > h.release) {
				l.ends[base] = 0
			}
		}
	}
	return l
}

var partOf = regexp.MustCompile(`^(?:([mp]\d)|baton:\{([mp]\d)\}:(queue|fence))$`)

// apply notes what a transaction has done. What a script grants is judged when it has
// ended.
func (l *ledger) apply(transaction [][]string) {
	turns := map[string]*grantRecord{}
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
		k := l.locks[key]
		if k == nil {
			k = &lock{queue: map[string]int64{}}
			l.locks[key] = k
		}
		if turns[key] == nil {
			turns[key] = &grantRecord{queue: maps.Clone(k.queue)}
		}
		k.apply(m[3], c, turns[key])
	}
	for key, t := range turns {
		l.judge(key, l.locks[key], t)
	}
}

func (k *lock) apply(part string, c []string, t *grantRecord) {
	switch part + " " + c[0] {
	case "queue ZADD": // maybe NX, which is in the file if it has added something
		n := len(c)
		k.queue[c[n-1]], _ = strconv.ParseInt(c[n-2], 10, 64)
	case "queue ZREM":
		delete(k.queue, c[2])
	case "queue DEL", "queue UNLINK":
		clear(k.queue)
	case "fence SET":
		k.base, _ = strconv.ParseInt(c[2], 10, 64)
	case " SET":
		k.owner, t.granted = c[2], c[2]
	case " DEL", " UNLINK":
		k.owner = ""
	case " PEXPIREAT":
		t.renewed, _ = strconv.ParseInt(c[2], 10, 64)
	}
}

// judge looks whether somebody was passed over, and whether what was renewed is held.
func (l *ledger) judge(key string, k *lock, t *grantRecord) {
	if t.granted != "" {
		l.turns++
		place, waited := t.queue[t.granted]
		for token, p := range t.queue {
			if _, waits := k.queue[token]; waits && (p < place || !waited) {
				l.list = append(l.list, violated("FIFO", "%s was given to %s at place %d, though %s waits at place %d", key, t.granted, place, token, p))
			}
		}
		return // a yield, if it was also renewed
	}
	end := l.ends[k.base]
	ttl, ours := timeToLive(k.owner)
	if t.renewed == 0 || !ours || end == 0 {
		return
	}
	l.renewals++
	if at := t.renewed - ttl; at > (end+l.skew)/1e6+maxReplyLag {
		l.list = append(l.list, violated("S3", "%s was renewed for %s (fences from %d) %d ms after its last release",
			key, k.owner, k.base<<10, at-(end+l.skew)/1e6))
	}
}

// timeToLive is what a token states, in ms.
func timeToLive(token string) (ms int64, ours bool) {
	words := strings.SplitN(token, ":", 3)
	if len(words) < 3 || words[0] != "baton" {
		return 0, false
	}
	ms, err := strconv.ParseInt(words[1], 10, 64)
	return ms, err == nil
}

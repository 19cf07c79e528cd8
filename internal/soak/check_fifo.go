package main

import (
	"maps"
	"regexp"
	"strconv"
	"strings"
)

// A fifoChecker replays the commands of an append-only file on the queues of mutexes. It checks that no
// hand-over skips a waiter.
type fifoChecker struct {
	queues map[string]map[string]int64 // by key: positions by token
	grants int
	list   []violation
}

// replay reads a file: for each command the number of words, and for each word its length and the word. A server
// that is killed during a write leaves an incomplete command at the end. The commands of a script are one transaction.
func (f *fifoChecker) replay(file string) {
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
		switch command[0] {
		case "MULTI":
			inside = true
		case "EXEC":
			inside = false
		default:
			open = append(open, command)
		}
		if !inside {
			f.apply(open)
			open = nil
		}
	}
}

var lockOrQueue = regexp.MustCompile(`^(?:([mp]\d)|baton:\{([mp]\d)\}:queue)$`)

// apply applies a transaction, and checks its grants at its end.
func (f *fifoChecker) apply(transaction [][]string) {
	before, granted := map[string]map[string]int64{}, map[string]string{}
	for _, c := range transaction {
		if c[0] == "FLUSHALL" {
			clear(f.queues)
		}
		if len(c) < 2 {
			continue
		}
		m := lockOrQueue.FindStringSubmatch(c[1])
		if m == nil {
			continue
		}
		key := m[1] + m[2]
		if f.queues[key] == nil {
			f.queues[key] = map[string]int64{}
		}
		queue := f.queues[key]
		if before[key] == nil {
			before[key] = maps.Clone(queue)
		}
		switch n := len(c); {
		case m[1] != "":
			if c[0] == "SET" {
				granted[key] = c[2]
			}
		case c[0] == "ZADD": // ZADD NX is in the file if it has added a member
			queue[c[n-1]], _ = strconv.ParseInt(c[n-2], 10, 64)
		case c[0] == "ZREM":
			for _, token := range c[2:] {
				delete(queue, token)
			}
		case c[0] == "DEL", c[0] == "UNLINK":
			clear(queue)
		}
	}
	for key, token := range granted {
		f.grants++
		place, waited := before[key][token]
		for other, p := range before[key] {
			if _, waits := f.queues[key][other]; waits && (p < place || !waited) {
				f.list = append(f.list, violated("FIFO", "%s was granted to %s at position %d, although %s waits at position %d", key, token, place, other, p))
			}
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// every is how often watch inspects the lock. It misses a hold that starts and ends in between, but
// the fence shows that there was one.
const every = 200 * time.Millisecond

// watch prints a line for each change of a lock, until Ctrl-C.
func watch(args []string) error {
	rdb, name, err := open("watch", args)
	if err != nil {
		return err
	}
	defer rdb.Close()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last, before := "", (status{}); ; <-tick.C {
		s, err := inspectKey(context.Background(), rdb, name)
		var f *failure
		line := s.change(before)
		switch {
		case errors.As(err, &f) && f.status == exitUsage:
			return err
		case err != nil: // Redis may recover
			line = err.Error()
		default:
			before = s
		}
		if line != last {
			fmt.Println(time.Now().Format("15:04:05.000"), line)
			last = line
		}
	}
}

// change returns the line for a change of a lock. If another process was the holder before, the lock
// was handed over.
func (s status) change(before status) string {
	var parts []string
	for _, h := range s.Holders {
		same := func(b holder) bool { return b.Token == h.Token && b.Fence == h.Fence }
		word := "held by"
		if len(before.Holders) > 0 && !slices.ContainsFunc(before.Holders, same) {
			word = "handed to"
		}
		h.Remaining = 0
		text, _ := strings.CutSuffix(h.String(), ", 0s left")
		parts = append(parts, word+" "+text)
	}
	return s.line(parts)
}

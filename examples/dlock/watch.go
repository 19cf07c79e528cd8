package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// every is how often watch looks. It does not see a hold that comes and goes in between, but the
// fence shows that there was one.
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
		s, err := look(context.Background(), rdb, name)
		var f *failure
		line := s.change(before)
		switch {
		case errors.As(err, &f) && f.status == exitUsage:
			return err
		case err != nil: // it may come back
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

// change returns the line for a change of a lock. A lock that another holder had before has been
// handed over.
func (s status) change(before status) string {
	var parts []string
	for _, h := range s.Holders {
		same := func(b holder) bool { return b.Token == h.Token && b.Fence == h.Fence }
		word := "held by"
		if len(before.Holders) > 0 && !slices.ContainsFunc(before.Holders, same) {
			word = "handed to"
		}
		h.Left = 0
		text, _ := strings.CutSuffix(h.String(), ", 0s left")
		parts = append(parts, word+" "+text)
	}
	if s.More > 0 {
		parts = append(parts, fmt.Sprintf("%d more", s.More))
	}
	if s.Limiter != nil {
		return s.Detail
	}
	text := "free"
	if len(parts) > 0 {
		text = strings.Join(parts, ", ")
	}
	if s.Detail != "" {
		text += "; " + s.Detail
	}
	if s.Waiting > 0 {
		text += fmt.Sprintf("; %d waiting, first %s", s.Waiting, plain(s.First.String()))
	}
	return text
}

package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A row is one workload. Its rounds are interleaved with those of other rows.
type row interface {
	round(ctx context.Context, b *bench, n int) error
	report(b *bench) []table
	targets(b *bench) []target
}

// A kind is the rows whose names begin with the same word.
type kind struct {
	word string
	what string
	open func(name, shape string) (row, error)
}

var kinds = []kind{
	{word: "solo", what: "1 goroutine, 1 key", open: newSolo},
	{word: "own", what: "own-64: 64 goroutines of 1 process, a key each; own-64-latency: over a network with latency", open: newOwn},
	{word: "again", what: "again-1, again-64: goroutines of 1 process lock a key each again and again, with Linger; again-foreign: another process wants it once in a while; again-pingpong: two take turns", open: newAgain},
	{word: "cluster", what: "cluster-own-64, cluster-hot-4x8: the same on a cluster of 3 masters", open: newClusterRow},
	{word: "hot", what: "hot-4x8, hot-4x8-1ms: 4 processes of 8 goroutines want one key, to hold it for 1 ms", open: newHot},
	{word: "readers", what: "readers-4x64, readers-4x64-1ms: 4 processes of 64 readers, each for no time or for 1 ms; one writer a second", open: newReaders},
	{word: "permits", what: "permits-4x64, permits-4x64-1ms: 4 processes of 64 goroutines want one of 16 permits, to hold it for 1 ms", open: newPermits},
}

// An entry is a row of the run.
type entry struct {
	row
	name   string
	rounds int // done
	took   time.Duration
}

func parse(rows string) (list []*entry, err error) {
	for name := range strings.SplitSeq(rows, ",") {
		word, shape, _ := strings.Cut(name, "-")
		e := &entry{name: name}
		for _, k := range kinds {
			if k.word == word {
				if e.row, err = k.open(name, shape); err != nil {
					return nil, fmt.Errorf("row %q: %w", name, err)
				}
			}
		}
		if e.row == nil {
			return nil, fmt.Errorf("there is no row %q", name)
		}
		list = append(list, e)
	}
	return list, nil
}

// usage lists the rows.
func usage() string {
	var b strings.Builder
	b.WriteString("what to measure, of:")
	for _, k := range kinds {
		fmt.Fprintf(&b, "\n%s\t%s", k.word, k.what)
	}
	return b.String() + "\n"
}

// size reads a number in a row's name, which may be left out.
func size(shape string, usual int) (int, error) {
	n, err := strconv.Atoi(cmp.Or(shape, strconv.Itoa(usual)))
	if err == nil && n < 1 {
		err = fmt.Errorf("%d is too few", n)
	}
	return n, err
}

// square reads processes and goroutines, such as 4x8.
func square(shape, usual string) (processes, goroutines int, err error) {
	first, second, _ := strings.Cut(cmp.Or(shape, usual), "x")
	if processes, err = strconv.Atoi(first); err != nil {
		return 0, 0, err
	}
	if goroutines, err = strconv.Atoi(second); err != nil {
		return 0, 0, err
	}
	if processes < 1 || goroutines < 1 {
		return 0, 0, fmt.Errorf("%s is too few", shape)
	}
	return processes, goroutines, nil
}

// held reads the same and for how long they hold, such as 4x8-1ms.
func held(shape, usual string) (processes, goroutines int, hold time.Duration, err error) {
	workers, while, held := strings.Cut(shape, "-")
	processes, goroutines, err = square(workers, usual)
	if err == nil && held {
		if hold, err = time.ParseDuration(while); err == nil && hold < 0 {
			err = fmt.Errorf("%v is too short", hold)
		}
	}
	return processes, goroutines, hold, err
}

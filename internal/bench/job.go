package main

import "time"

// A job is what one worker process does.
type job struct {
	Task              string // one of tasks
	System, Addr, Key string
	SharedMem         string // file, or empty
	Limit             int    // how many may be inside at once
	Goroutines        int
	Index             int // of this process among those of its row
	Hold, Duration    time.Duration
}

// A task is a worker's share of a row. Once it is made it is ready.
type task interface {
	run(start time.Time) *tally // waits for start
	close()
}

var tasks = map[string]func(job) (task, error){
	"contend":  newHotWorker,
	"own":      newOwnKeyWorker,
	"read":     newReadWorker,
	"foreign":  newForeignWorker,
	"visit":    newVisitWorker,
	"pingpong": newPingpongWorker,
}

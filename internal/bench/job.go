package main

import "time"

// A job is what one worker process does.
type job struct {
	Task              string // one of tasks
	System, Addr, Key string
	SharedMem         string // file, or empty
	Limit             int    // how many may be inside at once
	Goroutines, Keys  int
	Index             int // of this process among those of its row
	TTL               time.Duration
	Hold, Duration    time.Duration
	Profile           string // file for a CPU profile, or empty
}

// A task is a worker's share of a row. Once it is made it is ready.
type task interface {
	run(start time.Time) *tally // waits for start
	close()
}

var tasks = map[string]func(job) (task, error){
	"contend": newHotWorker,
	"own":     newOwnKeyWorker,
	"hold":    newHoldWorker,
	"read":    newReadWorker,
	"crowd":   newWaitWorker,
	"touch":   newPoolWorker,

	"foreign":  newForeignWorker,
	"visit":    newVisitWorker,
	"pingpong": newPingpongWorker,
}

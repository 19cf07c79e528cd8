package main

import (
	"encoding/binary"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// now is the time, in ns, of a clock that all processes of the machine share and
// that is never set.
func now() int64 {
	var ts unix.Timespec
	check(unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts))
	return ts.Nano()
}

// An event is a record of a worker's journal: something that happened to a request
// for a hold, or to the hold that came of it. A task of a wait group is a hold;
// a wait, and a limiter's turn, are requests of which nothing is held.
type event struct {
	What   what
	Result result
	Key    uint8 // in keys
	Worker uint8
	N      int32 // of asked: the weight, or wait; of answered: the tasks abandoned; of released: 1 if it is marked
	Hold   int64
	T      int64
	Fence  int64 // of answered
}

type what uint8

const (
	asked        what = 1 + iota
	answered          // with a result
	stillHeld         // Err, called after T, returned nil
	lossReported      // Err returned something else
	release           // Unlock is called
	released          // with a result
)

type result uint8

const (
	ok        result = 1 + iota
	locked           // a try that did not get it
	lost             // ErrLost, or what a peer says of a lock that it does not hold
	ended            // ctx ended
	unsure           // Redis could not be reached for as long as it mattered
	abandoned        // of a wait: the round is over, and tasks of it were abandoned
)

// wait is the weight of a request to wait for a group.
const wait = -1

var eventSize = binary.Size(event{})

// An eventWriter writes a journal, an event by one write: what was written survives the
// death of the process.
type eventWriter struct{ file *os.File }

func (p eventWriter) write(e event) {
	b := must(binary.Append(make([]byte, 0, eventSize), binary.LittleEndian, e))
	must(p.file.Write(b))
}

// An eventLog reads what has been written so far.
type eventLog struct {
	file *os.File
	rest []byte // an event that has begun
}

func (j *eventLog) read(each func(event)) {
	for j.rest = append(j.rest, must(io.ReadAll(j.file))...); len(j.rest) >= eventSize; j.rest = j.rest[eventSize:] {
		var e event
		must(binary.Decode(j.rest, binary.LittleEndian, &e))
		each(e)
	}
}

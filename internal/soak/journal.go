package main

import (
	"encoding/binary"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// now returns the time in ns of the monotonic clock, which all processes of the machine share.
func now() int64 {
	var ts unix.Timespec
	check(unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts))
	return ts.Nano()
}

// An event is a record of a worker's journal. It concerns a request for a hold, or the granted hold. A task
// of a wait group is a hold. Waits for a group and events of a limiter are requests without a hold.
type event struct {
	Kind   eventKind
	Result result
	Key    uint8 // in keys
	Worker uint8
	N      int32 // of requested: the weight, or wait; of replied: the abandoned tasks; of released: 1 if marked
	Hold   int64
	T      int64
	Fence  int64 // of answered
}

type eventKind uint8

const (
	requested    eventKind = 1 + iota
	replied                // with a result
	stillHeld              // Err, called after T, returned nil
	lossReported           // Err returned an error
	release                // Unlock is called
	released               // with a result
)

type result uint8

const (
	ok        result = 1 + iota
	locked           // a failed try
	lost             // ErrLost, or a peer's error for a lock that is not held
	ctxDone          // ctx was done
	unknown          // Redis was unreachable, so the outcome is unknown
	abandoned        // of a wait: the generation ended with abandoned tasks
)

// wait is the weight of a request to wait for a group.
const wait = -1

var eventSize = binary.Size(event{})

// An eventWriter writes a journal, with one write per event, so events survive a crash of the process.
type eventWriter struct{ file *os.File }

func (p eventWriter) write(e event) {
	b := must(binary.Append(make([]byte, 0, eventSize), binary.LittleEndian, e))
	must(p.file.Write(b))
}

// An eventLog reads the events of a journal so far.
type eventLog struct {
	file *os.File
	rest []byte // an incomplete event
}

func (j *eventLog) read(each func(event)) {
	for j.rest = append(j.rest, must(io.ReadAll(j.file))...); len(j.rest) >= eventSize; j.rest = j.rest[eventSize:] {
		var e event
		must(binary.Decode(j.rest, binary.LittleEndian, &e))
		each(e)
	}
}

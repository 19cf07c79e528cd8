package main

import "encoding/binary"

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

const eventSize = 32

func (e event) append(b []byte) []byte {
	b = append(b, byte(e.What), byte(e.Result), e.Key, e.Worker)
	b = binary.LittleEndian.AppendUint32(b, uint32(e.N))
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Hold))
	b = binary.LittleEndian.AppendUint64(b, uint64(e.T))
	return binary.LittleEndian.AppendUint64(b, uint64(e.Fence))
}

func newEvent(b []byte) event {
	n := binary.LittleEndian
	return event{
		What: what(b[0]), Result: result(b[1]), Key: b[2], Worker: b[3],
		N: int32(n.Uint32(b[4:])), Hold: int64(n.Uint64(b[8:])), T: int64(n.Uint64(b[16:])), Fence: int64(n.Uint64(b[24:])),
	}
}

package client

import "time"

// Kind is the primitive that a key belongs to. It selects the scripts.
type Kind byte

// A Name is a key of one kind.
type Name struct {
	Kind Kind
	Key  string
}

// A Message is what Redis publishes. The meaning of its fields depends on its kind.
type Message struct {
	Name
	Token                   string
	Seq, WantSeq, FenceBase int64
	Weight                  int64
	Contended               bool
}

// A Renewal is one hold that is due.
type Renewal struct {
	Name
	Token   string
	TTL     time.Duration
	Confirm Confirm // by as many replicas, or it has failed
	// Contention asks whether others wait. The replies of permits always state that.
	Contention bool
	// Value asks to keep the value beside the Mutex, too.
	Value bool
}

// RenewResult is the outcome of a Renewal. Held is false only if the hold is certainly gone; with an
// error nothing is known.
type RenewResult struct {
	Held        bool
	Contended   bool // others wait, or, for permits, the token itself
	SeveralWait bool // so others do
	NoValue     bool // to Renewal.Value: there is none
	Err         error
}

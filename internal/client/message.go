package client

import "time"

// Kind says which primitive a key belongs to, and so which scripts serve it.
type Kind byte

// A Name is a key of one kind.
type Name struct {
	Kind Kind
	Key  string
}

// A Message is what Redis publishes. Its kind says what the fields mean.
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
	// Contention is that the reply must state whether others wait. Replies of permits do anyway.
	Contention bool
	// Value is that the value beside the Mutex must be kept, too.
	Value bool
}

// RenewResult is what became of a Renewal. Held is false if the hold is gone for
// certain; with an error nothing is known.
type RenewResult struct {
	Held        bool
	Contended   bool // others wait, or, for permits, the token itself
	SeveralWait bool // so others do
	NoValue     bool // to Renewal.Value: there is none
	Err         error
}

package main

import "time"

// config is what the flags say.
type config struct {
	system       string
	topologies   []string
	keys         []string // of the primitives that were asked for
	faults       []fault
	duration     time.Duration
	ttl          time.Duration // 0 for another one in each epoch
	seed         uint64
	workers      int
	faultsPerRun int // of an epoch
	verbose      bool
	until        string // the rule whose violation ends the run: a control group is not asked for more
}

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"time"
)

type config struct {
	URL     string // of Redis; empty for one of our own
	Key     string
	TTL     time.Duration
	Jobs    int
	Workers int           // processes
	Each    int           // goroutines in each
	Job     time.Duration // on average
	Kill    bool          // a worker
}

func parse(args []string, usage io.Writer) (cfg config, err error) {
	f := flag.NewFlagSet("fanout", flag.ContinueOnError)
	f.SetOutput(usage)
	f.IntVar(&cfg.Jobs, "jobs", 40, "how many `jobs` there are")
	f.IntVar(&cfg.Workers, "workers", 4, "how many `processes` do them")
	f.IntVar(&cfg.Each, "each", 3, "how many `goroutines` each of them has")
	f.DurationVar(&cfg.Job, "job", time.Second, "how long a job takes, on average")
	f.BoolVar(&cfg.Kill, "kill", true, "whether a worker is killed, a third of the way in")
	f.StringVar(&cfg.Key, "key", "fanout-demo", "how the `keys` in Redis begin")
	f.DurationVar(&cfg.TTL, "ttl", 3*time.Second, "how long Redis keeps the tasks of a process that died")
	if err := f.Parse(args); err != nil {
		return cfg, err // Parse has said why
	}
	switch {
	case f.NArg() > 0:
		err = fmt.Errorf("there is no argument %q", f.Arg(0))
	case cfg.Jobs < 1:
		err = fmt.Errorf("-jobs %d: it takes at least one", cfg.Jobs)
	case cfg.Workers < 1:
		err = fmt.Errorf("-workers %d: it takes at least one", cfg.Workers)
	case cfg.Kill && cfg.Workers < 2:
		err = fmt.Errorf("-workers %d: one is going to be killed, it takes another", cfg.Workers)
	case cfg.Each < 1:
		err = fmt.Errorf("-each %d: it takes at least one", cfg.Each)
	case cfg.Job <= 0:
		err = fmt.Errorf("-job %v: it takes some time", cfg.Job)
	case cfg.Key == "":
		err = errors.New("-key: it cannot be empty")
	case cfg.TTL < 10*time.Millisecond:
		err = fmt.Errorf("-ttl %v: it takes at least 10ms", cfg.TTL)
	}
	if err != nil {
		fmt.Fprintln(usage, "fanout:", err)
	}
	return cfg, err
}

package main

import (
	"errors"
	"flag"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A config is the parsed command line.
type config struct {
	Name        string
	Command     []string
	Permits     int64 // size of the semaphore; 0 if NAME is no semaphore
	Shared      bool
	Exclusive   bool          // the writer of a lock whose readers are Shared
	Wait        time.Duration // negative means without limit
	TTL         time.Duration
	HoldAtLeast time.Duration
	Lead        bool          // NAME is an election
	Value       string        // the leader's public value
	Once        bool          // run the command only if it has not succeeded yet
	Every       time.Duration // with Once: the interval between runs; 0 means once
	NotAcquired int           // the exit status
}

// maxPermits is the largest size of a semaphore.
const maxPermits = 1 << 40

// minTTL leaves time to end the command before another process can get the lock.
const minTTL = 100 * time.Millisecond

const usage = `dlock [flags] NAME -- COMMAND …
       dlock ls [pattern] | inspect NAME | watch NAME | unlock -force [-yes] NAME | doctor | ui
The lock is on the Redis server at REDIS_URL, which must be set: all processes must use the same server.`

func parse(args []string) (config, error) {
	var c config
	f := flags("dlock", usage)
	f.Int64Var(&c.Permits, "n", 0, "NAME is a semaphore with this many `permits`: at most this many commands run at once")
	f.BoolVar(&c.Shared, "shared", false, "hold NAME together with other -shared commands")
	f.BoolVar(&c.Exclusive, "exclusive", false, "hold NAME alone, while no -shared command runs")
	f.DurationVar(&c.Wait, "w", 0, "how long to wait for the lock; 0 means not at all (default: without limit)")
	f.DurationVar(&c.TTL, "ttl", mutex.DefaultTTL, "how long Redis keeps the lock if dlock dies")
	f.DurationVar(&c.HoldAtLeast, "hold-at-least", 0, "the minimum time to hold the lock, even if the command ends sooner")
	f.BoolVar(&c.Lead, "lead", false, "NAME is an election: run the command while leading it, again after each loss")
	f.StringVar(&c.Value, "value", "", "with -lead: the value that Leader returns to other processes (default: the host name)")
	f.BoolVar(&c.Once, "once", false, "run the command only if it has not succeeded yet, on any machine; else exit with 0")
	f.DurationVar(&c.Every, "every", 0, "with -once: run the command again after this time, counted from the start of the last successful run")
	f.IntVar(&c.NotAcquired, "E", exitNotAcquired, "the exit `status` if the lock is not acquired in time")
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return c, err
	case err != nil:
		return c, fail(exitUsage, "%w; see dlock -h", err)
	}
	if rest := f.Args(); len(rest) > 0 {
		c.Name = rest[0]
		if len(rest) > 2 && rest[1] == "--" {
			c.Command = rest[2:]
		}
	}
	set := map[string]bool{}
	f.Visit(func(f *flag.Flag) { set[f.Name] = true })
	if !set["w"] {
		c.Wait = -1
	}
	if !set["value"] {
		c.Value, _ = os.Hostname()
	}
	switch {
	case c.Name == "" || c.Command == nil || c.Command[0] == "":
		return c, fail(exitUsage, "NAME, -- and COMMAND are required; see dlock -h")
	case set["n"] && (c.Permits < 1 || c.Permits > maxPermits):
		return c, fail(exitUsage, "-n %d: must be between 1 and 2^40", c.Permits)
	case set["n"] && (c.Shared || c.Exclusive), c.Shared && c.Exclusive:
		return c, fail(exitUsage, "use only one of -n, -shared and -exclusive")
	case c.Lead && (c.Once || set["n"] || c.Shared || c.Exclusive || set["w"] || set["E"] || set["hold-at-least"]):
		return c, fail(exitUsage, "-lead can be combined with -ttl and -value only")
	case !c.Lead && set["value"]:
		return c, fail(exitUsage, "-value needs -lead")
	case len(c.Value) > mutex.MaxElectionValue:
		return c, fail(exitUsage, "-value has more than %d bytes", mutex.MaxElectionValue)
	case c.Once && (set["n"] || c.Shared || c.Exclusive || set["hold-at-least"]):
		return c, fail(exitUsage, "-once cannot be combined with -n, -shared, -exclusive or -hold-at-least")
	case set["every"] && (!c.Once || c.Every < time.Millisecond):
		return c, fail(exitUsage, "-every %v: needs -once, and must be at least 1ms", c.Every)
	case set["w"] && c.Wait < 0:
		return c, fail(exitUsage, "-w %v is negative", c.Wait)
	case c.TTL < minTTL:
		return c, fail(exitUsage, "-ttl %v: must be at least %v", c.TTL, minTTL)
	case c.HoldAtLeast < 0:
		return c, fail(exitUsage, "-hold-at-least %v is negative", c.HoldAtLeast)
	case c.NotAcquired < 0 || c.NotAcquired > 255:
		return c, fail(exitUsage, "-E %d is not an exit status", c.NotAcquired)
	}
	return c, nil
}

// label returns the user, terminal and command, truncated.
func (c config) label() string {
	const maxLabel = 100
	name := os.Getenv("USER")
	if u, err := user.Current(); name == "" && err == nil {
		name = u.Username
	}
	if tty := terminalName(); tty != "" {
		name += "@" + tty
	}
	label := strings.Join(c.Command, " ")
	if name != "" {
		label = name + ": " + label
	}
	if len(label) <= maxLabel {
		return label
	}
	return strings.ToValidUTF8(label[:maxLabel-len("…")], "") + "…"
}

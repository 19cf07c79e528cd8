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

// A config is what the command line says.
type config struct {
	Name        string
	Command     []string
	Permits     int64 // of NAME as a semaphore; 0 if it is none
	Shared      bool
	Exclusive   bool          // among those that are Shared
	Wait        time.Duration // negative for as long as it takes
	TTL         time.Duration
	HoldAtLeast time.Duration
	Lead        bool          // lead NAME as an election
	Value       string        // what others see of the leader
	Once        bool          // not if it has succeeded before
	Every       time.Duration // but for so long
	NotAcquired int           // status
}

// maxPermits is the most that a semaphore has.
const maxPermits = 1 << 40

// minTTL leaves time to end a command before another can have the lock.
const minTTL = 100 * time.Millisecond

const usage = `dlock [flags] NAME -- COMMAND …
       dlock ls [pattern] | inspect NAME | watch NAME | unlock -force [-yes] NAME | doctor | ui
The lock is on the Redis at REDIS_URL, which has to be set: a lock that nobody else sees excludes nobody.`

func parse(args []string) (config, error) {
	var c config
	f := flags("dlock", usage)
	f.Int64Var(&c.Permits, "n", 0, "NAME is a semaphore of so many `permits`: so many commands run at once")
	f.BoolVar(&c.Shared, "shared", false, "hold NAME together with others that are -shared")
	f.BoolVar(&c.Exclusive, "exclusive", false, "hold NAME alone, where others are -shared")
	f.DurationVar(&c.Wait, "w", 0, "for how long to wait for the lock; 0: not at all (default: for ever)")
	f.DurationVar(&c.TTL, "ttl", mutex.DefaultTTL, "for how long Redis keeps the lock when dlock has died")
	f.DurationVar(&c.HoldAtLeast, "hold-at-least", 0, "for how long to keep the lock even if the command ends sooner")
	f.BoolVar(&c.Lead, "lead", false, "NAME is an election: run the command while leading it, again after each loss")
	f.StringVar(&c.Value, "value", "", "with -lead: what others see of the leader (default: the host name)")
	f.BoolVar(&c.Once, "once", false, "run the command only if it has not succeeded yet, on any machine; else exit with 0")
	f.DurationVar(&c.Every, "every", 0, "with -once: once in so long, counted from the start of the last run that succeeded")
	f.IntVar(&c.NotAcquired, "E", exitNotAcquired, "the exit `status` if the lock is not to be had in time")
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return c, err
	case err != nil:
		return c, fail(exitUsage, "%w; dlock -h explains", err)
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
		return c, fail(exitUsage, "it takes a NAME, --, and a COMMAND; dlock -h explains")
	case set["n"] && (c.Permits < 1 || c.Permits > maxPermits):
		return c, fail(exitUsage, "-n %d: it takes 1 to 2^40", c.Permits)
	case set["n"] && (c.Shared || c.Exclusive), c.Shared && c.Exclusive:
		return c, fail(exitUsage, "it is one of -n, -shared and -exclusive")
	case c.Lead && (c.Once || set["n"] || c.Shared || c.Exclusive || set["w"] || set["E"] || set["hold-at-least"]):
		return c, fail(exitUsage, "-lead is for -ttl and -value only")
	case !c.Lead && set["value"]:
		return c, fail(exitUsage, "-value is of a leader: it takes -lead")
	case len(c.Value) > mutex.MaxElectionValue:
		return c, fail(exitUsage, "-value has more than %d bytes", mutex.MaxElectionValue)
	case c.Once && (set["n"] || c.Shared || c.Exclusive || set["hold-at-least"]):
		return c, fail(exitUsage, "-once is for none of -n, -shared, -exclusive and -hold-at-least")
	case set["every"] && (!c.Once || c.Every < time.Millisecond):
		return c, fail(exitUsage, "-every %v: it takes -once, and at least 1ms", c.Every)
	case set["w"] && c.Wait < 0:
		return c, fail(exitUsage, "-w %v is negative", c.Wait)
	case c.TTL < minTTL:
		return c, fail(exitUsage, "-ttl %v: it takes at least %v", c.TTL, minTTL)
	case c.HoldAtLeast < 0:
		return c, fail(exitUsage, "-hold-at-least %v is negative", c.HoldAtLeast)
	case c.NotAcquired < 0 || c.NotAcquired > 255:
		return c, fail(exitUsage, "-E %d is no exit status", c.NotAcquired)
	}
	return c, nil
}

// label is what others are told of who holds the lock: who is at which terminal, and
// the command, cut.
func (c config) label() string {
	const most = 100
	who := os.Getenv("USER")
	if u, err := user.Current(); who == "" && err == nil {
		who = u.Username
	}
	if tty := terminalName(); tty != "" {
		who += "@" + tty
	}
	label := strings.Join(c.Command, " ")
	if who != "" {
		label = who + ": " + label
	}
	if len(label) <= most {
		return label
	}
	return strings.ToValidUTF8(label[:most-len("…")], "") + "…"
}

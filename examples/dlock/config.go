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
	Permits     int64 // of NAME as a semaphore; 0 if it is none
	Shared      bool
	Exclusive   bool          // among those that are Shared
	Wait        time.Duration // negative for as long as it takes
	TTL         time.Duration
	HoldAtLeast time.Duration
	Lead        bool          // lead NAME as an election
	Value       string        // what others see of the leader
	Once        bool          // run the command only if it has not succeeded yet
	Every       time.Duration // or not for that long
	NotAcquired int           // status
}

// maxPermits is the most that a semaphore has.
const maxPermits = 1 << 40

// minTTL leaves time to end a command before another can have the lock.
const minTTL = 100 * time.Millisecond

const usage = `dlock [flags] NAME -- COMMAND …
       dlock ls [pattern] | inspect NAME | watch NAME | unlock -force [-yes] NAME | doctor | ui
The lock is on the Redis at REDIS_URL, which must be set: a lock that nobody else sees excludes nobody.`

func parse(args []string) (config, error) {
	var c config
	f := flags("dlock", usage)
	f.Int64Var(&c.Permits, "n", 0, "NAME is a semaphore with that many `permits`: at most that many commands run at once")
	f.BoolVar(&c.Shared, "shared", false, "hold NAME together with others that are -shared")
	f.BoolVar(&c.Exclusive, "exclusive", false, "hold NAME alone, where others are -shared")
	f.DurationVar(&c.Wait, "w", 0, "how long to wait for the lock; 0: not at all (default: without limit)")
	f.DurationVar(&c.TTL, "ttl", mutex.DefaultTTL, "how long Redis keeps the lock after dlock has died")
	f.DurationVar(&c.HoldAtLeast, "hold-at-least", 0, "how long to keep the lock at least, even if the command ends sooner")
	f.BoolVar(&c.Lead, "lead", false, "NAME is an election: run the command while leading it, again after each loss")
	f.StringVar(&c.Value, "value", "", "with -lead: what others see of the leader (default: the host name)")
	f.BoolVar(&c.Once, "once", false, "run the command only if it has not succeeded yet, on any machine; else exit with 0")
	f.DurationVar(&c.Every, "every", 0, "with -once: run it again after that time, counted from the start of the last successful run")
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

// label describes the holder to others: user, terminal and command, truncated.
func (c config) label() string {
	const most = 100
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
	if len(label) <= most {
		return label
	}
	return strings.ToValidUTF8(label[:most-len("…")], "") + "…"
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// errDone is returned if the Once is already done.
var errDone = errors.New("already done")

// A commandFailed is the nonzero exit status of a command, which leaves the Once undone.
type commandFailed int

func (status commandFailed) Error() string { return fmt.Sprintf("exit status %d", int(status)) }

// acquireOnce waits until this process may run the command, or returns errDone. The run ends when
// the hold is released with the exit status of the command.
func acquireOnce(ctx context.Context, rdb *redis.Client, c config) (*hold, error) {
	o := mutex.NewOnce(rdb, c.Name)
	o.TTL, o.Label, o.Every = c.TTL, c.label(), c.Every
	do := o.DoContext
	if c.Wait == 0 {
		do = o.TryDo
	}
	leases, statuses, ended := make(chan *mutex.Lease), make(chan int), make(chan error, 1)
	go func() {
		ran, err := do(ctx, func(ctx context.Context) error {
			leases <- mutex.LeaseFromContext(ctx)
			if status := <-statuses; status != 0 {
				return commandFailed(status)
			}
			return nil
		})
		if !ran && err == nil {
			err = errDone
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		return nil, err
	case l := <-leases:
		h := &hold{lease: l}
		h.release = func() error {
			statuses <- h.status
			if err := <-ended; !errors.As(err, new(commandFailed)) || errors.Is(err, mutex.ErrLost) {
				return err
			}
			return nil
		}
		return h, nil
	}
}

// valueKey returns the key of the value that is stored with the mutex NAME.
func valueKey(name string) string {
	if _, rest, ok := strings.Cut(name, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			return "baton:{" + tag + "}:value:" + name
		}
	}
	return "baton:{" + name + "}:value"
}

// valueNames returns the names of Onces and Flights that match a pattern.
func valueNames(ctx context.Context, rdb *redis.Client, pattern string) (names []string, err error) {
	for _, match := range []string{"baton:{" + pattern + "}:value", "baton:{*}:value:" + pattern} {
		for keys := rdb.Scan(ctx, 0, match, 500).Iterator(); ; {
			if !keys.Next(ctx) {
				if err := keys.Err(); err != nil {
					return nil, err
				}
				break
			}
			name, _ := strings.CutPrefix(keys.Val(), "baton:{")
			if short, ok := strings.CutSuffix(name, "}:value"); ok {
				name = short
			} else {
				_, name, _ = strings.Cut(name, "}:value:")
			}
			if kind, _ := onceStatus(ctx, rdb, name); kind != "" {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// onceStatus returns the status of a Once or a Flight: the last run, or how long the value is kept.
func onceStatus(ctx context.Context, rdb *redis.Client, name string) (kind, detail string) {
	key := valueKey(name)
	kind, err := rdb.HGet(ctx, key, "kind").Result()
	if err != nil || kind != isOnce && kind != isFlight {
		return "", ""
	}
	if kind == isFlight {
		return kind, fmt.Sprintf("a value for %v", rdb.PTTL(ctx, key).Val().Round(time.Second))
	}
	run, err := mutex.NewOnce(rdb, name).Last(ctx)
	if err != nil {
		return kind, ""
	}
	result := "succeeded"
	if run.Err != "" {
		result = "failed: " + plain(run.Err)
	}
	return kind, fmt.Sprintf("last run %s, took %v, by %s, %s", run.Start.Format(time.DateTime), run.Took.Round(time.Millisecond), plain(run.By.String()), result)
}

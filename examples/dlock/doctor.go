package main

import (
	"context"
	"fmt"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// doctor prints what the server supports, and fails if locks are not safe on it.
func doctor(args []string) error {
	f := flags("doctor", "dlock doctor")
	if err := parseArgs(f, args, 0, 0); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 6*connectTimeout)
	defer cancel()
	rdb, err := connect(ctx)
	if err != nil {
		return err
	}
	defer rdb.Close()
	report, err := mutex.Check(ctx, rdb)
	if err != nil {
		return fail(exitUnavailable, "%w", err)
	}
	fmt.Print(report)
	if report.Level() == mutex.LevelFailure {
		return fail(exitUnavailable, "locks are not safe on this server")
	}
	return nil
}

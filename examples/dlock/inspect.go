package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// inspect prints all that is known of one lock.
func inspect(args []string) error {
	rdb, name, err := open("inspect", args)
	if err != nil {
		return err
	}
	defer rdb.Close()
	s, err := look(context.Background(), rdb, name)
	if err != nil {
		return err
	}
	fmt.Printf("name     %s\nkind     %s\n", plain(name), s.Kind)
	if s.Detail != "" {
		fmt.Printf("state    %s\n", s.Detail)
	}
	for _, h := range s.Holders {
		fmt.Printf("holder   %v\n", h)
	}
	if s.More > 0 {
		fmt.Printf("more     %d\n", s.More)
	}
	if s.Limiter != nil {
		return nil
	}
	fmt.Printf("waiting  %d\n", s.Waiting)
	if s.Waiting > 0 {
		fmt.Printf("first    %s\n", plain(s.First.String()))
	}
	return nil
}

// open returns the server and the NAME for commands that take one NAME.
func open(command string, args []string) (*redis.Client, string, error) {
	f := flags(command, "dlock "+command+" NAME")
	if err := f.Parse(args); err != nil {
		return nil, "", misused(err)
	}
	if f.NArg() != 1 || f.Arg(0) == "" {
		return nil, "", fail(exitUsage, "%s takes one NAME", command)
	}
	rdb, err := connect(context.Background())
	return rdb, f.Arg(0), err
}

// misused returns the error of flag.Parse, with its exit status.
func misused(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	return fail(exitUsage, "%w; see dlock -h", err)
}

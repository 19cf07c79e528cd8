package main

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// inspect prints the full status of one lock.
func inspect(args []string) error {
	rdb, name, err := open("inspect", args)
	if err != nil {
		return err
	}
	defer rdb.Close()
	s, err := inspectKey(context.Background(), rdb, name)
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
	fmt.Printf("waiting  %d\n", s.Waiters)
	if s.Waiters > 0 {
		fmt.Printf("next     %s\n", plain(s.Next.String()))
	}
	return nil
}

// open parses the arguments of a subcommand that takes one NAME, and connects to Redis.
func open(command string, args []string) (*redis.Client, string, error) {
	f := flags(command, "dlock "+command+" NAME")
	if err := parseArgs(f, args, 1, 1); err != nil {
		return nil, "", err
	}
	rdb, err := connect(context.Background())
	return rdb, f.Arg(0), err
}

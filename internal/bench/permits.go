package main

import "fmt"

// newPermits makes a row like hot, but of semaphores, whose permits are 16.
func newPermits(name, shape string) (row, error) {
	p, g, hold, err := held(shape, "4x64")
	if err != nil {
		return nil, err
	}
	return &hot{
		name: name, processes: p, goroutines: g, hold: hold, limit: permits, results: results{},
		ours: "baton-permits", picks: func(s system) bool { return s.permits },
		title: fmt.Sprintf("%s: %d processes × %d goroutines, each wanting one of %d permits, held for %v", name, p, g, permits, hold),
	}, nil
}

package main

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestMain(m *testing.M) {
	runWorker()
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // these tests mostly wait
		panic(err)
	}
	redistest.WatchStalls()
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}

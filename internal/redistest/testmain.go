package redistest

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const (
	workerEnv = "BATON_WORKER"
	// TimedEnv is set for tests that measure.
	TimedEnv = "BATON_TIMED"
)

// timed tells that tests hold what they measure against bounds, and do not wait for
// longer.
var timed bool

// TimedMain is [Main] of a package whose tests measure how long something takes.
// They run only by go run ./internal/matrix, one at a time, and go test skips them.
func TimedMain(m *testing.M, workers map[string]func(), opts ...goleak.Option) {
	if os.Getenv(TimedEnv) == "" && os.Getenv(workerEnv) == "" {
		fmt.Println("no test is run: what they measure is for go run ./internal/matrix")
		return
	}
	Main(m, workers, opts...)
}

// Main is the TestMain of a package that uses [Spawn]. In a worker process it
// runs the function that Spawn named and exits; in the test process it runs the
// tests and fails if they leave goroutines behind.
func Main(m *testing.M, workers map[string]func(), opts ...goleak.Option) {
	name := os.Getenv(workerEnv)
	if name == "" {
		timed = os.Getenv(TimedEnv) != ""
		flag.Parse()
		abreast()
		goleak.VerifyTestMain(watched{m, opts}, opts...)
		return
	}
	work, ok := workers[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "redistest: there is no worker %q\n", name)
		os.Exit(2)
	}
	work()
	os.Exit(0)
}

// abreast has parallel tests run eight at a time, unless the command line says
// otherwise. The default is the number of processors, which says nothing of how
// many can: they mostly wait.
func abreast() {
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		_ = flag.Set("test.parallel", "8") // fails only if there is no such flag
	}
}

// watched are tests whose machine is watched for stalls. After them it gives goroutines time
// to end, more than goleak does: a subscription stays open for as long as a lock may linger.
type watched struct {
	*testing.M
	opts []goleak.Option
}

func (w watched) Run() int {
	stop := WatchStalls()
	code := w.M.Run()
	stop()
	for end := time.Now().Add(10 * time.Second); goleak.Find(w.opts...) != nil && time.Now().Before(end); {
	}
	return code
}

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
	// TimedEnv is set for tests that measure times.
	TimedEnv = "BATON_TIMED"
)

// timed is true if tests compare measured times with their bounds.
var timed bool

// TimedMain is [Main] for a package whose tests measure times. Only go run ./internal/matrix runs
// them, one at a time; go test skips them.
func TimedMain(m *testing.M, workers map[string]func()) {
	if os.Getenv(TimedEnv) == "" && os.Getenv(workerEnv) == "" {
		fmt.Println("no tests run: use go run ./internal/matrix")
		return
	}
	Main(m, workers)
}

// Main is the TestMain of a package that uses [Spawn]. In a worker process it runs the function that
// Spawn named, and exits. In the test process it runs the tests, and fails if goroutines are left.
func Main(m *testing.M, workers map[string]func(), opts ...goleak.Option) {
	name := os.Getenv(workerEnv)
	if name == "" {
		timed = os.Getenv(TimedEnv) != ""
		// The default is the number of processors, which is too low for tests that mostly wait. The
		// command line may set another number.
		_ = flag.Set("test.parallel", "8") // the flag exists
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

// watched records stalls while the tests run. After the tests it gives goroutines more time to end
// than goleak does: a subscription stays open for as long as a lock may linger.
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

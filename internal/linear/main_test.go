package linear

import (
	"flag"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestMain(m *testing.M) {
	// Each test keeps several processes busy: more of them at once only make histories
	// of grants that nobody needs, while each waits for its own.
	if err := flag.Set("test.parallel", "2"); err != nil {
		panic(err)
	}
	redistest.Main(m, map[string]func(){"client": work})
}

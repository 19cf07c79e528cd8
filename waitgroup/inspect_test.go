package waitgroup_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// Inspect shows the remaining work, and the owners of tasks, to any process.
func TestInspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		wg, other := waitgroup.New(rdb, "key"), waitgroup.New(sibling(t, rdb), "key")
		wg.Label = "importer"
		if s, err := other.Inspect(t.Context()); err != nil || s.Generation != 0 || s.Outstanding() != 0 {
			t.Errorf("%+v, %v", s, err)
		}
		wg.Add(3)
		done, dropped := claim(t, wg), claim(t, wg)
		must(dropped.Abandon())
		s, err := other.Inspect(t.Context())
		if err != nil || s.Generation == 0 || s.Count != 1 || s.Abandoned != 1 || s.Outstanding() != 2 || len(s.Tasks) != 1 {
			t.Fatalf("%+v, %v", s, err)
		}
		if task := s.Tasks[0]; task.Label != "importer" || task.Remaining <= 0 || task.Remaining > wg.TTL {
			t.Errorf("%+v", task)
		}
		must(done.Done())
		rdb.Set(t.Context(), "string", "x", 0)
		if _, err := waitgroup.New(rdb, "string").Inspect(t.Context()); err == nil || !strings.Contains(err.Error(), `inspect "string": `) {
			t.Error(err)
		}
	})
}

package redistest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestMisuse(t *testing.T) {
	t.Parallel()
	s := Start(t)
	if types := slices.Sorted(maps.Values(s.PutTypes(t))); !slices.Equal(types, s.Keys(t)) {
		t.Errorf("the keys are %q, and said to be %q", s.Keys(t), types)
	}
	s.Do(t, "SET", "lasts", "1")
	if got := s.Forever(t); !slices.Equal(got, []string{"lasts"}) {
		t.Errorf("these last: %q", got)
	}
	bad := errors.New("baton: bad")
	for what, row := range map[string]struct {
		errors int
		do     func(m *Misuse)
	}{
		"as it should":    {0, func(m *Misuse) { m.Refuses("it", "bad", func() error { return bad }) }},
		"a panic":         {0, func(m *Misuse) { m.Refuses("it", "bad", func() error { panic(bad) }) }},
		"no error":        {1, func(m *Misuse) { m.Says("it", "bad", func() error { return nil }) }},
		"no name":         {1, func(m *Misuse) { m.Refuses("it", "bad", func() error { return errors.New("bad") }) }},
		"a ctx is spared": {2, func(m *Misuse) { m.Contexts("it", func(context.Context) error { return bad }) }},
		"a request": {1, func(m *Misuse) {
			m.Says("it", "<nil>", func() error { return m.Unasked.Get(t.Context(), "lasts").Err() })
		}},
		"a pipeline": {1, func(m *Misuse) {
			m.Says("it", "<nil>", func() error {
				pipe := m.Unasked.Pipeline()
				pipe.Get(t.Context(), "lasts")
				_, err := pipe.Exec(t.Context())
				return err
			})
		}},
		"a key":        {1, func(*Misuse) { s.Do(t, "INCR", "lasts") }},
		"one that may": {0, func(*Misuse) { s.Do(t, "INCR", "a:spared") }},
	} {
		r := record(t, func(tb testing.TB) {
			m := NewMisuse(tb, s, ":spared")
			row.do(m)
			m.Unchanged()
		})
		if len(r.errors) != row.errors {
			t.Errorf("%s: %q", what, r.errors)
		}
	}
}

func TestZero(t *testing.T) {
	t.Parallel()
	type lease struct{ n int }
	if err := Zero(0, func(l *lease) any { return l.n }); err == nil || !strings.Contains(err.Error(), "nil pointer") {
		t.Errorf("as it should: %v", err)
	}
	for what, method := range map[string]func(l *lease) any{
		"another value": func(l *lease) any { return l.n + 1 },
		"a panic":       func(*lease) any { panic("nil pointer") },
		"no panic":      func(*lease) any { return 0 },
	} {
		if err := Zero(0, method); err != nil && strings.Contains(err.Error(), "nil pointer") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

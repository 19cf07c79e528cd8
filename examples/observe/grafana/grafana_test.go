// Package grafana tests the queries of the dashboard and of the alerts on recorded metrics. It is a
// module of its own, because it depends on Prometheus' query engine.
package grafana

import (
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
	pmodel "github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/seed-3d5fec5c/baton/examples/observe/promtrace"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A scrape is a page of metrics with its time.
type scrape struct {
	at   time.Time
	page string
}

// record uses a lock in a synctest bubble for 20 minutes, first without and then with faults. It
// returns the scrapes, and the time of the first fault.
func record(t *testing.T) (scrapes []scrape, firstFault time.Time) {
	synctest.Test(t, func(t *testing.T) {
		server := redistest.Mini(t)
		rdb, theirs := redistest.MiniClient(t, server), redistest.MiniClient(t, server)
		reg := prometheus.NewRegistry()
		m, other := mutex.New(rdb, "key"), mutex.New(theirs, "key")
		m.Trace = promtrace.New(reg).Mutex("till")
		page := promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
		pass := func(minutes int, each func()) {
			for range 4 * minutes {
				each()
				synctest.Wait()
				w := httptest.NewRecorder()
				page.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
				scrapes = append(scrapes, scrape{time.Now(), w.Body.String()})
				time.Sleep(15 * time.Second)
			}
		}
		unlock := func(l *mutex.Lease) {
			if err := l.Unlock(); err != nil {
				t.Error(err)
			}
		}
		pass(8, func() { // notified after 0.1 s
			l, err := other.LockContext(t.Context())
			check(t, err)
			time.AfterFunc(100*time.Millisecond, func() { unlock(l) })
			m.Lock()
			time.Sleep(5 * time.Second) // renewed
			m.Unlock()
		})
		firstFault = time.Now()
		outage := redistest.NewOutage(rdb)
		pass(12, func() {
			server.Set("key", "by hand") // its expiry is found by polling
			server.SetTTL("key", 2*time.Second)
			if m.TryLock() {
				t.Error("a held lock was acquired")
			}
			lock := func() *mutex.Lease {
				l, err := m.LockContext(t.Context())
				check(t, err)
				return l
			}
			unlock(lock())
			l := lock()
			server.Del("key")
			<-l.Done()
			outage.Set(true)
			if m.TryLock() {
				t.Error("locked without Redis")
			}
			outage.Set(false)
		})
	})
	return scrapes, firstFault
}

// series has the samples of all scrapes, by the text of their labels.
type series map[string]*promql.Series

func newSeries(t *testing.T, scrapes []scrape) series {
	all := series{}
	for _, s := range scrapes {
		samples := expfmt.SampleDecoder{
			Dec:  expfmt.NewDecoder(strings.NewReader(s.page), expfmt.NewFormat(expfmt.TypeTextPlain)),
			Opts: &expfmt.DecodeOptions{Timestamp: pmodel.TimeFromUnixNano(s.at.UnixNano())},
		}
		var page pmodel.Vector
		for {
			err := samples.Decode(&page)
			if err == io.EOF {
				break
			}
			check(t, err)
			for _, sample := range page {
				key := sample.Metric.String()
				if all[key] == nil {
					b := labels.NewBuilder(labels.EmptyLabels())
					for name, value := range sample.Metric {
						b.Set(string(name), string(value))
					}
					all[key] = &promql.Series{Metric: b.Labels()}
				}
				all[key].Floats = append(all[key].Floats, promql.FPoint{T: int64(sample.Timestamp), F: float64(sample.Value)})
			}
		}
	}
	return all
}

// Select returns the series that match, as an engine's storage.
func (all series) Select(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	set := &seriesSet{}
	for _, s := range all {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Metric.Get(m.Name)) }) {
			set.next = append(set.next, promql.NewStorageSeries(*s))
		}
	}
	return set
}

// A seriesSet iterates over series.
type seriesSet struct {
	at   storage.Series
	next []storage.Series
}

func (s *seriesSet) Next() bool {
	if len(s.next) == 0 {
		return false
	}
	s.at, s.next = s.next[0], s.next[1:]
	return true
}

func (s *seriesSet) At() storage.Series              { return s.at }
func (*seriesSet) Err() error                        { return nil }
func (*seriesSet) Warnings() annotations.Annotations { return nil }

// An engine runs queries on series.
type engine struct {
	*promql.Engine
	series
}

func (e engine) query(t *testing.T, text string, at time.Time) promql.Vector {
	t.Helper()
	q, err := e.NewInstantQuery(t.Context(), &storage.MockQueryable{MockQuerier: &storage.MockQuerier{SelectMockFunction: e.Select}}, nil, text, at)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer q.Close()
	v, err := q.Exec(t.Context()).Vector()
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return append(promql.Vector{}, v...)
}

// TestQueries runs each query of the dashboard, which must have a result without NaN. It evaluates each
// alert once a minute, as Prometheus does. Before the first fault, no alert has a result. After it,
// each alert has a result for long enough to fire.
func TestQueries(t *testing.T) {
	scrapes, firstFault := record(t)
	last := scrapes[len(scrapes)-1].at
	e := engine{promql.NewEngine(promql.EngineOpts{MaxSamples: 1e7, Timeout: time.Minute}), newSeries(t, scrapes)}
	text, err := os.ReadFile("dashboard.json")
	check(t, err)
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	check(t, json.Unmarshal(text, &dashboard))
	n := 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			n++
			query := strings.NewReplacer("$name", ".*", "$__rate_interval", "5m").Replace(target.Expr)
			found := e.query(t, query, last)
			if len(found) == 0 || slices.ContainsFunc(found, func(s promql.Sample) bool { return math.IsNaN(s.F) }) {
				t.Errorf("the result of %s is %v", query, found)
			}
		}
	}
	if n < 9 {
		t.Errorf("the dashboard has %d queries", n)
	}

	groups, errs := rulefmt.ParseFile("alerts.yml", false, pmodel.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 || len(groups.Groups[0].Rules) != 3 {
		t.Fatalf("there are no three alerts: %v", errs)
	}
	for _, rule := range groups.Groups[0].Rules {
		var since time.Time // start of the alert's pending state
		for at := scrapes[0].at; !at.After(last); at = at.Add(time.Minute) {
			found := e.query(t, rule.Expr, at)
			switch {
			case at.Before(firstFault) && len(found) > 0:
				t.Errorf("%s has a result %v before the first fault: %v", rule.Alert, firstFault.Sub(at), found)
			case len(found) == 0:
				since = time.Time{}
			case len(found) != 1 || found[0].Metric.Get("baton_name") != "till":
				t.Errorf("%s has the result %v", rule.Alert, found)
			case since.IsZero():
				since = at
			}
		}
		if since.IsZero() || last.Sub(since) < time.Duration(rule.For) {
			t.Errorf("%s does not fire: pending since %v, for %v of %v", rule.Alert, since, last.Sub(since), rule.For)
		}
	}
}

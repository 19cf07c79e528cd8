package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// page returns the numbers of the page, by the text of their names and labels.
func page(reg *prometheus.Registry) map[string]float64 {
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	numbers := map[string]float64{}
	for line := range strings.Lines(w.Body.String()) {
		name, value, ok := strings.Cut(strings.Replace(line, `,error_type=""`, "", 1), "} ")
		if ok && !strings.HasPrefix(name, "#") {
			x, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			check(err)
			numbers[name+"}"] = x
		}
	}
	return numbers
}

// TestPage uses locks in a synctest bubble, where times are exact, and checks each number of the page.
func TestPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := redistest.Mini(t)
		rdb, theirs := redistest.MiniClient(t, server), redistest.MiniClient(t, server)
		reg := prometheus.NewRegistry()
		var spans strings.Builder
		w, err := newWatch(reg, true, &spans)
		check(err)
		defer w.close()
		ctx := t.Context()
		m := mutex.New(rdb, "a")
		m.Trace = w.mutex("door")
		lock := func() *mutex.Lease {
			l, err := m.LockContext(ctx)
			check(err)
			return l
		}
		hold := func(l *mutex.Lease, d time.Duration) {
			time.Sleep(d)
			check(l.Unlock())
		}
		for range 3 { // granted at once, each held for 2 s
			hold(lock(), 2*time.Second)
		}
		their, err := mutex.New(theirs, "a").LockContext(ctx)
		check(err)
		if m.TryLock() { // locked
			t.Error("two clients hold the lock")
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := m.LockContext(short); err == nil { // deadline
			t.Error("two clients hold the lock")
		}
		queue := m.LockChan(ctx)
		time.Sleep(4 * time.Second)
		if got := page(reg)[`baton_waiting{baton_name="door"}`]; got != 1 {
			t.Errorf("with one waiter, the page has %v", got)
		}
		check(their.Unlock())
		hold((<-queue).Lease, 5*time.Second) // notified after 4 s
		l := lock()
		check(rdb.Del(ctx, "a").Err())
		<-l.Done() // the key is missing

		s := semaphore.NewWeighted(rdb, "s", 5)
		s.Trace = w.semaphore("seats")
		check(s.Acquire(ctx, 3))
		mails := semaphore.NewLimiter(rdb, "l", 0.5, 1)
		mails.Trace = w.limiter("mails")
		if !mails.Allow() || mails.Allow() || mails.Wait(ctx) != nil {
			t.Error("want one event allowed, one rejected, and one after a wait")
		}
		synctest.Wait()
		got := page(reg)
		expect := func(name string, want float64) {
			t.Helper()
			for _, by := range []string{"", "otel_"} { // both packages export the same numbers
				if x, ok := got[by+name]; !ok || math.Abs(x-want) > 1e-9 {
					t.Errorf("%s%s is %v, want %v", by, name, x, want)
				}
			}
		}
		for name, want := range map[string]float64{
			`baton_grants_total{baton_grant_path="immediate",baton_name="door"}`:        4,
			`baton_grants_total{baton_grant_path="notified",baton_name="door"}`:         1,
			`baton_grants_total{baton_grant_path="immediate",baton_name="seats"}`:       1,
			`baton_losses_total{baton_loss_cause="key_missing",baton_name="door"}`:      1,
			`baton_renewals_total{baton_name="door"}`:                                   2,
			`baton_waiting{baton_name="door"}`:                                          0,
			`baton_grants_total{baton_grant_path="immediate",baton_name="mails"}`:       1,
			`baton_grants_total{baton_grant_path="reserved",baton_name="mails"}`:        1,
			`baton_wait_duration_seconds_sum{baton_name="mails"}`:                       2,
			`baton_wait_duration_seconds_count{baton_name="mails",error_type="locked"}`: 1,
			`baton_held{baton_name="door"}`:                                             0,
			`baton_held{baton_name="seats"}`:                                            3,
			`baton_wait_duration_seconds_count{baton_name="door"}`:                      5,
			`baton_wait_duration_seconds_sum{baton_name="door"}`:                        4,
			`baton_wait_duration_seconds_count{baton_name="door",error_type="locked"}`:  1,
			`baton_wait_duration_seconds_sum{baton_name="door",error_type="deadline"}`:  1,
			`baton_wait_duration_seconds_bucket{baton_name="door",le="0.0001"}`:         4,
			`baton_hold_duration_seconds_count{baton_name="door"}`:                      5,
		} {
			expect(name, want)
		}
		if text := spans.String(); strings.Count(text, "hold door") != 5 || strings.Count(text, "wait for ") != 3 || strings.Count(text, "hold ") != 5 || strings.Count(text, "wait for door") != 2 ||
			!strings.Contains(text, fmt.Sprintf("%-20s %12v ", "wait for door", 4*time.Second)) || strings.Count(text, "lost: key_missing") != 1 {
			t.Errorf("the spans are\n%s", text)
		}
		s.Release(3)
		outage := redistest.NewOutage(rdb)
		outage.Set(true)
		if m.TryLock() {
			t.Error("locked without Redis")
		}
		outage.Set(false)
		synctest.Wait()
		got = page(reg)
		expect(`baton_redis_errors_total{baton_name="door",baton_operation="acquire"}`, 1)
		time.Sleep(time.Minute)
	})
}

// TestRun runs the program on an embedded and on a real server, and scrapes the page. At the end, all
// holds are released, and no request waits.
func TestRun(t *testing.T) {
	for name, url := range map[string]string{"embedded": "", "redis": redistest.Start(t).URL()} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			reg := prometheus.NewRegistry()
			r, w := io.Pipe()
			done := make(chan error, 1)
			go func() {
				done <- run(ctx, config{url: url, listen: "127.0.0.1:0"}, reg, w)
				w.Close()
			}()
			line, err := bufio.NewReader(r).ReadString('\n')
			check(err)
			go io.Copy(io.Discard, r)
			redistest.Eventually(t, redistest.Patience, func() bool {
				got := page(reg)
				return holds(got, "till") >= 20 && holds(got, "prices") >= 20 && holds(got, "printers") >= 20
			}, "the page shows twenty holds of each")
			_, address, _ := strings.Cut(strings.TrimSpace(line), "metrics at ")
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			reply, err := client.Get(address)
			check(err)
			defer reply.Body.Close()
			text, err := io.ReadAll(reply.Body)
			if err != nil || !strings.Contains(string(text), `baton_held{baton_name="till"}`) {
				t.Errorf("%s serves %q, %v", address, text, err)
			}
			stop()
			check(<-done)
			got := page(reg)
			for _, name := range []string{"till", "prices", "printers"} {
				label := `{baton_name="` + name + `"}`
				if grants := got["baton_wait_duration_seconds_count"+label]; grants != holds(got, name) {
					t.Errorf("%s: %v grants, but %v ended holds", name, grants, holds(got, name))
				}
				if got["baton_held"+label] != 0 || got["baton_waiting"+label] != 0 {
					t.Errorf("%s: at the end, %v are held and %v wait", name, got["baton_held"+label], got["baton_waiting"+label])
				}
			}
		})
	}
}

// holds returns the number of ended holds under name.
func holds(numbers map[string]float64, name string) float64 {
	return numbers[`baton_hold_duration_seconds_count{baton_name="`+name+`"}`]
}

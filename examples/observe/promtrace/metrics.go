// Package promtrace turns the events of baton's locks into Prometheus metrics. Create one
// [Metrics] for your registry, and set
//
//	mu.Trace = metrics.Mutex("orders")
//
// before the first use. Package oteltrace exports the same names through OpenTelemetry's exporter
// for Prometheus, so one dashboard works with both.
package promtrace

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// Metrics has the collectors. Each has the label "baton_name".
type Metrics struct {
	// Name, if it is set, maps a key to the label, instead of the name of the Trace. It should
	// return few different names: one for a Pool, or one for each customer's plan, but not one for
	// each key. Set it before the first use.
	Name func(key string) string

	grants, losses, renewals, redisErrors *prometheus.CounterVec
	waiting, held                         *prometheus.GaugeVec
	wait, hold                            *prometheus.HistogramVec
}

// New registers the metrics.
func New(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "baton", Name: name, Help: help}, append(labels, "baton_name"))
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "baton", Name: name, Help: help}, []string{"baton_name"})
		reg.MustRegister(g)
		return g
	}
	seconds := func(name, help string, labels ...string) *prometheus.HistogramVec { // from 0.1 ms to 100 s
		buckets := prometheus.ExponentialBucketsRange(1e-4, 100, 13)
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "baton", Name: name, Help: help, Buckets: buckets}, append(labels, "baton_name"))
		reg.MustRegister(h)
		return h
	}
	return &Metrics{
		grants:      counter("grants_total", "Requests that were granted, by the path of the grant.", "baton_grant_path"),
		losses:      counter("losses_total", "Holds that were lost, by cause.", "baton_loss_cause"),
		renewals:    counter("renewals_total", "Renewals that Redis confirmed."),
		redisErrors: counter("redis_errors_total", "Requests to Redis that failed, retried or not.", "baton_operation"),
		waiting:     gauge("waiting", "Requests that wait now."),
		held:        gauge("held", "Permits that are held now: 1 for each hold of a lock."),
		wait:        seconds("wait_duration_seconds", "Time from the request to the grant, or to the failure that error_type names.", "error_type"),
		hold:        seconds("hold_duration_seconds", "Time from the grant to the release or the loss."),
	}
}

// Mutex returns a Trace of a Mutex, a RWMutex or a Pool that counts under name.
func (m *Metrics) Mutex(name string) *mutex.Trace {
	return (*mutex.Trace)(newHooks[mutex.Event](m, name, true))
}

// Semaphore returns a Trace of a Weighted that counts under name.
func (m *Metrics) Semaphore(name string) *semaphore.Trace {
	return (*semaphore.Trace)(newHooks[semaphore.Event](m, name, true))
}

// Limiter returns a Trace of a Limiter, which holds nothing, that counts under name.
func (m *Metrics) Limiter(name string) *semaphore.Trace {
	return (*semaphore.Trace)(newHooks[semaphore.Event](m, name, false))
}

// WaitGroup returns a Trace of a WaitGroup that counts under name.
func (m *Metrics) WaitGroup(name string) *waitgroup.Trace {
	return (*waitgroup.Trace)(newHooks[waitgroup.Event](m, name, true))
}

// hooks has the fields of the three Traces, so it converts to each of them.
type hooks[E any] struct {
	Waiting, Acquired, Failed, Renewed, Lost, Released, RedisError func(context.Context, E)
}

func newHooks[E mutex.Event | semaphore.Event | waitgroup.Event](m *Metrics, name string, holds bool) *hooks[E] {
	// hook calls f with each event and its label.
	hook := func(f func(string, mutex.Event)) func(context.Context, E) {
		return func(_ context.Context, event E) {
			e, label := mutex.Event(event), name
			if m.Name != nil {
				label = m.Name(e.Key)
			}
			f(label, e)
		}
	}
	waited := func(label string, e mutex.Event) {
		if e.Waited {
			m.waiting.WithLabelValues(label).Dec()
		}
		m.wait.WithLabelValues(errorType(e), label).Observe(e.Wait.Seconds())
	}
	ended := func(label string, e mutex.Event) {
		if !holds {
			return
		}
		m.hold.WithLabelValues(label).Observe(e.Held.Seconds())
		m.held.WithLabelValues(label).Sub(float64(e.Weight))
	}
	if m.Name == nil { // so that the first event increases a series instead of starting it
		m.waiting.WithLabelValues(name)
		paths, causes := []string{mutex.Immediate, mutex.Local, mutex.Lingered, mutex.Notified, mutex.Polled}, []string{mutex.KeyMissing, mutex.RenewFailed, mutex.MaxHoldExceeded, mutex.NotReceived}
		if holds {
			m.held.WithLabelValues(name)
		} else {
			paths, causes = []string{semaphore.Immediate, semaphore.Reserved, semaphore.Polled}, nil
		}
		for _, path := range paths {
			m.grants.WithLabelValues(path, name)
		}
		for _, cause := range causes {
			m.losses.WithLabelValues(cause, name)
		}
	}
	return &hooks[E]{
		Waiting: hook(func(label string, _ mutex.Event) { m.waiting.WithLabelValues(label).Inc() }),
		Acquired: hook(func(label string, e mutex.Event) {
			waited(label, e)
			m.grants.WithLabelValues(e.Path, label).Inc()
			if holds {
				m.held.WithLabelValues(label).Add(float64(e.Weight))
			}
		}),
		Failed:  hook(waited),
		Renewed: hook(func(label string, _ mutex.Event) { m.renewals.WithLabelValues(label).Inc() }),
		Lost: hook(func(label string, e mutex.Event) {
			m.losses.WithLabelValues(e.Cause, label).Inc()
			ended(label, e)
		}),
		Released:   hook(ended),
		RedisError: hook(func(label string, e mutex.Event) { m.redisErrors.WithLabelValues(e.Op, label).Inc() }),
	}
}

// errorType maps the end of a request to one of a few labels; "" means a grant.
func errorType(e mutex.Event) string {
	switch {
	case e.Hook == "acquired":
		return ""
	case e.Err == nil || errors.Is(e.Err, mutex.ErrLocked): // a failed try, or a Limiter without a token
		return "locked"
	case errors.Is(e.Err, context.DeadlineExceeded):
		return "deadline"
	case errors.Is(e.Err, context.Canceled):
		return "canceled"
	}
	return "error"
}

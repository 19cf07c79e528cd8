// Package promtrace turns the events of baton's locks into Prometheus metrics. Copy this
// file, create one [Metrics] for your registry, and set
//
//	mu.Trace = metrics.Mutex("orders")
//
// The name becomes a label, so use a few names only: one for a Pool, not one for each key.
package promtrace

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// Metrics has the collectors. Each has the label "name".
type Metrics struct {
	acquisitions, failures, renewals, losses, redisErrors *prometheus.CounterVec
	waiting, held                                         *prometheus.GaugeVec
	wait, hold                                            *prometheus.HistogramVec
}

// New registers the metrics.
func New(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "baton", Name: name, Help: help}, append(labels, "name"))
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "baton", Name: name, Help: help}, []string{"name"})
		reg.MustRegister(g)
		return g
	}
	seconds := func(name, help string) *prometheus.HistogramVec { // from 0.1 ms to 100 s
		buckets := prometheus.ExponentialBucketsRange(1e-4, 100, 13)
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "baton", Name: name, Help: help, Buckets: buckets}, []string{"name"})
		reg.MustRegister(h)
		return h
	}
	return &Metrics{
		acquisitions: counter("acquisitions_total", "Requests that were granted, by the path of the grant.", "path"),
		failures:     counter("failures_total", "Requests that ended without a grant, by reason.", "reason"),
		renewals:     counter("renewals_total", "Renewals that Redis confirmed."),
		losses:       counter("losses_total", "Holds that were lost, by cause.", "cause"),
		redisErrors:  counter("redis_errors_total", "Requests to Redis that failed, retried or not.", "op"),
		waiting:      gauge("waiting", "Requests that wait now."),
		held:         gauge("held", "Permits that are held now: 1 for each hold of a lock."),
		wait:         seconds("wait_seconds", "Time from the request to the grant."),
		hold:         seconds("hold_seconds", "Time from the grant to the release or the loss."),
	}
}

// Mutex returns a Trace of a Mutex, a RWMutex or a Pool that counts under name.
func (m *Metrics) Mutex(name string) *mutex.Trace {
	return (*mutex.Trace)(newHooks[mutex.Event](m, name))
}

// Semaphore returns a Trace of a Weighted that counts under name.
func (m *Metrics) Semaphore(name string) *semaphore.Trace {
	return (*semaphore.Trace)(newHooks[semaphore.Event](m, name))
}

// WaitGroup returns a Trace of a WaitGroup that counts under name.
func (m *Metrics) WaitGroup(name string) *waitgroup.Trace {
	return (*waitgroup.Trace)(newHooks[waitgroup.Event](m, name))
}

// hooks has the fields of the three Traces, so it converts to each of them.
type hooks[E any] struct {
	Waiting, Acquired, Failed, Renewed, Lost, Released, RedisError func(context.Context, E)
}

func newHooks[E mutex.Event | semaphore.Event | waitgroup.Event](m *Metrics, name string) *hooks[E] {
	waiting, held := m.waiting.WithLabelValues(name), m.held.WithLabelValues(name)
	wait, hold := m.wait.WithLabelValues(name), m.hold.WithLabelValues(name)
	renewals := m.renewals.WithLabelValues(name)
	hook := func(f func(mutex.Event)) func(context.Context, E) {
		return func(_ context.Context, e E) { f(mutex.Event(e)) }
	}
	ended := func(e mutex.Event) {
		hold.Observe(e.Held.Seconds())
		held.Sub(float64(e.Weight))
	}
	return &hooks[E]{
		Waiting: hook(func(mutex.Event) { waiting.Inc() }),
		Acquired: hook(func(e mutex.Event) {
			if e.Waited {
				waiting.Dec()
			}
			m.acquisitions.WithLabelValues(e.Path, name).Inc()
			wait.Observe(e.Wait.Seconds())
			held.Add(float64(e.Weight))
		}),
		Failed: hook(func(e mutex.Event) {
			if e.Waited {
				waiting.Dec()
			}
			m.failures.WithLabelValues(reason(e.Err), name).Inc()
		}),
		Renewed: hook(func(mutex.Event) { renewals.Inc() }),
		Lost: hook(func(e mutex.Event) {
			m.losses.WithLabelValues(e.Cause, name).Inc()
			ended(e)
		}),
		Released:   hook(ended),
		RedisError: hook(func(e mutex.Event) { m.redisErrors.WithLabelValues(e.Op, name).Inc() }),
	}
}

// reason maps an error to one of a few labels.
func reason(err error) string {
	switch {
	case errors.Is(err, mutex.ErrLocked):
		return "locked"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "error"
}

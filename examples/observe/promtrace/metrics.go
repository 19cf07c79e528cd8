// Package promtrace turns the events of baton's locks into Prometheus metrics. Copy this
// file, create one [Metrics] for your registry, and set
//
//	mu.Trace = metrics.Trace("orders")
//
// The name becomes a label, so use a few names only: one for a Pool, not one for each key.
package promtrace

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-3d5fec5c/baton/mutex"
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

// Trace returns a Trace that counts under name. It works for a Mutex, a RWMutex, a Pool, a
// Weighted and a WaitGroup, because all packages share the type.
func (m *Metrics) Trace(name string) *mutex.Trace {
	waiting, held := m.waiting.WithLabelValues(name), m.held.WithLabelValues(name)
	wait, hold := m.wait.WithLabelValues(name), m.hold.WithLabelValues(name)
	renewals := m.renewals.WithLabelValues(name)
	return &mutex.Trace{
		Waiting: func(context.Context, mutex.WaitingInfo) { waiting.Inc() },
		Acquired: func(_ context.Context, a mutex.AcquiredInfo) {
			if a.Waited {
				waiting.Dec()
			}
			m.acquisitions.WithLabelValues(a.Path.String(), name).Inc()
			wait.Observe(a.WaitTime.Seconds())
			held.Add(float64(a.Weight))
		},
		Failed: func(_ context.Context, f mutex.FailedInfo) {
			if f.Waited {
				waiting.Dec()
			}
			m.failures.WithLabelValues(reason(f.Err), name).Inc()
		},
		Renewed: func(context.Context, mutex.RenewedInfo) { renewals.Inc() },
		Lost: func(_ context.Context, l mutex.LostInfo) {
			m.losses.WithLabelValues(l.Cause.String(), name).Inc()
			hold.Observe(l.Held.Seconds())
			held.Sub(float64(l.Weight))
		},
		Released: func(_ context.Context, r mutex.ReleasedInfo) {
			hold.Observe(r.Held.Seconds())
			held.Sub(float64(r.Weight))
		},
		RedisError: func(_ context.Context, e mutex.RedisErrorInfo) { m.redisErrors.WithLabelValues(e.Op, name).Inc() },
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

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/prometheus/client_golang/prometheus"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/seed-3d5fec5c/baton/examples/observe/oteltrace"
	"github.com/seed-3d5fec5c/baton/examples/observe/promtrace"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// A watch has both packages' collectors with their providers. Your program passes its own meter and
// tracer, or uses only Prometheus.
type watch struct {
	metrics   *promtrace.Metrics
	telemetry *oteltrace.Telemetry
	meters    *metric.MeterProvider
	tracers   *sdktrace.TracerProvider
}

func newWatch(reg *prometheus.Registry, spans bool, out io.Writer) (*watch, error) {
	page, err := otelprom.New(otelprom.WithRegisterer(reg), otelprom.WithNamespace("otel"), otelprom.WithoutScopeInfo())
	if err != nil {
		return nil, err
	}
	w := &watch{metrics: promtrace.New(reg), meters: metric.NewMeterProvider(metric.WithReader(page)), tracers: sdktrace.NewTracerProvider()}
	if spans {
		w.tracers.RegisterSpanProcessor(sdktrace.NewSimpleSpanProcessor(lines{out}))
	}
	w.telemetry, err = oteltrace.New(w.meters.Meter("baton"), w.tracers.Tracer("baton"))
	return w, err
}

// mutex returns a Trace that reports to both under name.
func (w *watch) mutex(name string) *mutex.Trace {
	return (*mutex.Trace)(both((*hooks[mutex.Event])(w.metrics.Mutex(name)), (*hooks[mutex.Event])(w.telemetry.Mutex(name))))
}

// semaphore returns a Trace that reports to both under name.
func (w *watch) semaphore(name string) *semaphore.Trace {
	return (*semaphore.Trace)(both((*hooks[semaphore.Event])(w.metrics.Semaphore(name)), (*hooks[semaphore.Event])(w.telemetry.Semaphore(name))))
}

// limiter returns a Trace that reports to both under name.
func (w *watch) limiter(name string) *semaphore.Trace {
	return (*semaphore.Trace)(both((*hooks[semaphore.Event])(w.metrics.Limiter(name)), (*hooks[semaphore.Event])(w.telemetry.Limiter(name))))
}

// close stops the providers. Spans and metrics that are not exported yet are dropped.
func (w *watch) close() {
	_ = w.tracers.Shutdown(context.Background())
	_ = w.meters.Shutdown(context.Background())
}

// lines prints each span as a line.
type lines struct{ out io.Writer }

func (l lines) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	for _, s := range spans {
		fmt.Fprintf(l.out, "%-20s %12v %s\n", s.Name(), s.EndTime().Sub(s.StartTime()), s.Status().Description)
	}
	return nil
}

func (l lines) Shutdown(context.Context) error { return nil }

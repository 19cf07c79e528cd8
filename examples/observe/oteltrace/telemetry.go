// Package oteltrace turns the events of baton's locks into OpenTelemetry metrics and spans.
// Copy this file, create one [Telemetry] with your meter and your tracer, and set
//
//	mu.Trace = telemetry.Mutex("orders")
//
// The spans are children of the span in the ctx of the call.
package oteltrace

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// Telemetry has the instruments. Each measurement has the attribute baton.name.
type Telemetry struct {
	tracer         trace.Tracer
	wait, hold     metric.Float64Histogram
	waiting, held  metric.Int64UpDownCounter
	losses, errors metric.Int64Counter
}

// New creates the instruments.
func New(meter metric.Meter, tracer trace.Tracer) (*Telemetry, error) {
	var errs [6]error
	t := &Telemetry{tracer: tracer}
	t.wait, errs[0] = meter.Float64Histogram("baton.wait.duration", metric.WithUnit("s"), metric.WithDescription("From the request to the grant, or the failure."))
	t.hold, errs[1] = meter.Float64Histogram("baton.hold.duration", metric.WithUnit("s"), metric.WithDescription("From the grant to the release, or the loss."))
	t.waiting, errs[2] = meter.Int64UpDownCounter("baton.waiting", metric.WithUnit("{request}"), metric.WithDescription("Requests that wait now."))
	t.held, errs[3] = meter.Int64UpDownCounter("baton.held", metric.WithUnit("{permit}"), metric.WithDescription("Permits that are held now."))
	t.losses, errs[4] = meter.Int64Counter("baton.losses", metric.WithUnit("{hold}"), metric.WithDescription("Holds that ended before their release."))
	t.errors, errs[5] = meter.Int64Counter("baton.redis.errors", metric.WithUnit("{request}"), metric.WithDescription("Requests to Redis that failed."))
	return t, errors.Join(errs[:]...)
}

// Mutex returns a Trace of a Mutex, a RWMutex or a Pool that reports under name.
func (t *Telemetry) Mutex(name string) *mutex.Trace {
	return (*mutex.Trace)(newHooks[mutex.Event](t, name))
}

// Semaphore returns a Trace of a Weighted that reports under name.
func (t *Telemetry) Semaphore(name string) *semaphore.Trace {
	return (*semaphore.Trace)(newHooks[semaphore.Event](t, name))
}

// WaitGroup returns a Trace of a WaitGroup that reports under name.
func (t *Telemetry) WaitGroup(name string) *waitgroup.Trace {
	return (*waitgroup.Trace)(newHooks[waitgroup.Event](t, name))
}

// hooks has the fields of the three Traces, so it converts to each of them.
type hooks[E any] struct {
	Waiting, Acquired, Failed, Renewed, Lost, Released, RedisError func(context.Context, E)
}

func newHooks[E mutex.Event | semaphore.Event | waitgroup.Event](t *Telemetry, name string) *hooks[E] {
	named := func(more ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributes(append(more, attribute.String("baton.name", name))...)
	}
	plain := named()
	hook := func(f func(context.Context, mutex.Event)) func(context.Context, E) {
		return func(ctx context.Context, e E) { f(ctx, mutex.Event(e)) }
	}
	waited := func(ctx context.Context, e mutex.Event, outcome string) {
		if e.Waited {
			t.waiting.Add(ctx, -1, plain)
			t.span(ctx, "wait for "+name, e, e.Wait, e.Err, attribute.String("baton.outcome", outcome))
		}
		t.wait.Record(ctx, e.Wait.Seconds(), named(attribute.String("baton.outcome", outcome)))
	}
	held := func(ctx context.Context, e mutex.Event) {
		t.held.Add(ctx, -e.Weight, plain)
		t.hold.Record(ctx, e.Held.Seconds(), plain)
		t.span(ctx, "hold "+name, e, e.Held, e.Err)
	}
	return &hooks[E]{
		Waiting: hook(func(ctx context.Context, _ mutex.Event) { t.waiting.Add(ctx, 1, plain) }),
		Acquired: hook(func(ctx context.Context, e mutex.Event) {
			waited(ctx, e, e.Path)
			t.held.Add(ctx, e.Weight, plain)
		}),
		Failed: hook(func(ctx context.Context, e mutex.Event) { waited(ctx, e, "failed") }),
		Lost: hook(func(ctx context.Context, e mutex.Event) {
			t.losses.Add(ctx, 1, named(attribute.String("baton.cause", e.Cause)))
			e.Err = errors.New("lost: " + e.Cause)
			held(ctx, e)
		}),
		Released: hook(held),
		RedisError: hook(func(ctx context.Context, e mutex.Event) {
			t.errors.Add(ctx, 1, named(attribute.String("baton.op", e.Op)))
		}),
	}
}

// span records a span that has just ended, and took that long.
func (t *Telemetry) span(ctx context.Context, name string, e mutex.Event, took time.Duration, err error, more ...attribute.KeyValue) {
	more = append(more, attribute.String("baton.key", e.Key), attribute.Int64("baton.weight", e.Weight))
	if e.Fence != 0 {
		more = append(more, attribute.Int64("baton.fence", e.Fence))
	}
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(e.At.Add(-took)), trace.WithAttributes(more...))
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End(trace.WithTimestamp(e.At))
}

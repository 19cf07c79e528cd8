// Package oteltrace turns the events of baton's locks into OpenTelemetry metrics and spans.
// Copy this file, create one [Telemetry] with your meter and your tracer, and set
//
//	mu.Trace = telemetry.Trace("orders")
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

// Trace returns a Trace that reports under name. It works for a Mutex, a RWMutex, a Pool, a
// Weighted and a WaitGroup, because all packages share the type.
func (t *Telemetry) Trace(name string) *mutex.Trace {
	named := func(more ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributes(append(more, attribute.String("baton.name", name))...)
	}
	plain := named()
	waited := func(ctx context.Context, e mutex.Event, d time.Duration, queued bool, outcome string, err error) {
		if queued {
			t.waiting.Add(ctx, -1, plain)
			t.span(ctx, "wait for "+name, e, d, err, attribute.String("baton.outcome", outcome))
		}
		t.wait.Record(ctx, d.Seconds(), named(attribute.String("baton.outcome", outcome)))
	}
	held := func(ctx context.Context, e mutex.Event, d time.Duration, err error) {
		t.held.Add(ctx, -e.Weight, plain)
		t.hold.Record(ctx, d.Seconds(), plain)
		t.span(ctx, "hold "+name, e, d, err)
	}
	return &mutex.Trace{
		Waiting: func(ctx context.Context, _ mutex.WaitingInfo) { t.waiting.Add(ctx, 1, plain) },
		Acquired: func(ctx context.Context, a mutex.AcquiredInfo) {
			waited(ctx, a.Event, a.WaitTime, a.Waited, a.Path.String(), nil)
			t.held.Add(ctx, a.Weight, plain)
		},
		Failed: func(ctx context.Context, f mutex.FailedInfo) {
			waited(ctx, f.Event, f.WaitTime, f.Waited, "failed", f.Err)
		},
		Lost: func(ctx context.Context, l mutex.LostInfo) {
			t.losses.Add(ctx, 1, named(attribute.Stringer("baton.cause", l.Cause)))
			held(ctx, l.Event, l.Held, errors.New("lost: "+l.Cause.String()))
		},
		Released: func(ctx context.Context, r mutex.ReleasedInfo) { held(ctx, r.Event, r.Held, r.Err) },
		RedisError: func(ctx context.Context, e mutex.RedisErrorInfo) {
			t.errors.Add(ctx, 1, named(attribute.String("baton.op", e.Op)))
		},
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

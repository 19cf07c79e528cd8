// Package oteltrace turns the events of baton's locks into OpenTelemetry metrics and spans.
// Create one [Telemetry] with your meter and your tracer, and set
//
//	mu.Trace = telemetry.Mutex("orders")
//
// before the first use. The spans are children of the span in the ctx of the call.
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
	// Name, if it is set, maps a key to the attribute, instead of the name of the Trace. It should
	// return few different names. Set it before the first use.
	Name func(key string) string

	tracer                           trace.Tracer
	wait, hold                       metric.Float64Histogram
	waiting, held                    metric.Int64UpDownCounter
	grants, losses, renewals, errors metric.Int64Counter
}

// buckets has the bounds of the histograms, from 0.1 ms to 100 s, as in promtrace.
var buckets = metric.WithExplicitBucketBoundaries(0.0001, 0.000316, 0.001, 0.00316, 0.01, 0.0316, 0.1, 0.316, 1, 3.16, 10, 31.6, 100)

// New creates the instruments.
func New(meter metric.Meter, tracer trace.Tracer) (*Telemetry, error) {
	var errs [8]error
	t := &Telemetry{tracer: tracer}
	t.wait, errs[0] = meter.Float64Histogram("baton.wait.duration", metric.WithUnit("s"), buckets, metric.WithDescription("From the request to the grant, or the failure."))
	t.hold, errs[1] = meter.Float64Histogram("baton.hold.duration", metric.WithUnit("s"), buckets, metric.WithDescription("From the grant to the release, or the loss."))
	t.waiting, errs[2] = meter.Int64UpDownCounter("baton.waiting", metric.WithUnit("{request}"), metric.WithDescription("Requests that wait now."))
	t.held, errs[3] = meter.Int64UpDownCounter("baton.held", metric.WithUnit("{permit}"), metric.WithDescription("Permits that are held now."))
	t.losses, errs[4] = meter.Int64Counter("baton.losses", metric.WithUnit("{hold}"), metric.WithDescription("Holds that ended before their release."))
	t.errors, errs[5] = meter.Int64Counter("baton.redis.errors", metric.WithUnit("{request}"), metric.WithDescription("Requests to Redis that failed."))
	t.grants, errs[6] = meter.Int64Counter("baton.grants", metric.WithUnit("{request}"), metric.WithDescription("Requests that were granted."))
	t.renewals, errs[7] = meter.Int64Counter("baton.renewals", metric.WithUnit("{renewal}"), metric.WithDescription("Renewals that Redis confirmed."))
	return t, errors.Join(errs[:]...)
}

// Mutex returns a Trace of a Mutex, a RWMutex or a Pool that reports under name.
func (t *Telemetry) Mutex(name string) *mutex.Trace {
	return (*mutex.Trace)(newHooks[mutex.Event](t, name, true))
}

// Semaphore returns a Trace of a Weighted that reports under name.
func (t *Telemetry) Semaphore(name string) *semaphore.Trace {
	return (*semaphore.Trace)(newHooks[semaphore.Event](t, name, true))
}

// Limiter returns a Trace of a Limiter, which holds nothing, that reports under name.
func (t *Telemetry) Limiter(name string) *semaphore.Trace {
	return (*semaphore.Trace)(newHooks[semaphore.Event](t, name, false))
}

// WaitGroup returns a Trace of a WaitGroup that reports under name.
func (t *Telemetry) WaitGroup(name string) *waitgroup.Trace {
	return (*waitgroup.Trace)(newHooks[waitgroup.Event](t, name, true))
}

// hooks has the fields of the three Traces, so it converts to each of them.
type hooks[E any] struct {
	Waiting, Acquired, Failed, Renewed, Lost, Released, RedisError func(context.Context, E)
}

func newHooks[E mutex.Event | semaphore.Event | waitgroup.Event](t *Telemetry, name string, holds bool) *hooks[E] {
	// hook calls f with each event, its name, and a function that adds the name to other attributes.
	type named = func(more ...attribute.KeyValue) metric.MeasurementOption
	hook := func(f func(context.Context, string, named, mutex.Event)) func(context.Context, E) {
		return func(ctx context.Context, event E) {
			e, name := mutex.Event(event), name
			if t.Name != nil {
				name = t.Name(e.Key)
			}
			f(ctx, name, func(more ...attribute.KeyValue) metric.MeasurementOption {
				return metric.WithAttributes(append(more, attribute.String("baton.name", name))...)
			}, e)
		}
	}
	waited := func(ctx context.Context, name string, with named, e mutex.Event) {
		var outcome []attribute.KeyValue
		if kind := errorType(e); kind != "" {
			outcome = append(outcome, attribute.String("error.type", kind))
		}
		t.wait.Record(ctx, e.Wait.Seconds(), with(outcome...))
		if e.Path != "" {
			outcome = append(outcome, attribute.String("baton.grant.path", e.Path))
		}
		if e.Waited {
			t.waiting.Add(ctx, -1, with())
			t.span(ctx, "wait for "+name, e, e.Wait, e.Err, outcome...)
		}
	}
	held := func(ctx context.Context, name string, with named, e mutex.Event) {
		if !holds {
			return
		}
		t.held.Add(ctx, -e.Weight, with())
		t.hold.Record(ctx, e.Held.Seconds(), with())
		t.span(ctx, "hold "+name, e, e.Held, e.Err)
	}
	if t.Name == nil { // so that the first event increases a series instead of starting it
		ctx, plain := context.Background(), attribute.String("baton.name", name)
		t.waiting.Add(ctx, 0, metric.WithAttributes(plain))
		paths, causes := []string{mutex.Immediate, mutex.Local, mutex.Lingered, mutex.Notified, mutex.Polled}, []string{mutex.KeyMissing, mutex.RenewFailed, mutex.MaxHoldExceeded, mutex.NotReceived}
		if holds {
			t.held.Add(ctx, 0, metric.WithAttributes(plain))
		} else {
			paths, causes = []string{semaphore.Immediate, semaphore.Reserved, semaphore.Polled}, nil
		}
		for _, path := range paths {
			t.grants.Add(ctx, 0, metric.WithAttributes(plain, attribute.String("baton.grant.path", path)))
		}
		for _, cause := range causes {
			t.losses.Add(ctx, 0, metric.WithAttributes(plain, attribute.String("baton.loss.cause", cause)))
		}
	}
	return &hooks[E]{
		Waiting: hook(func(ctx context.Context, _ string, with named, _ mutex.Event) { t.waiting.Add(ctx, 1, with()) }),
		Acquired: hook(func(ctx context.Context, name string, with named, e mutex.Event) {
			waited(ctx, name, with, e)
			t.grants.Add(ctx, 1, with(attribute.String("baton.grant.path", e.Path)))
			if holds {
				t.held.Add(ctx, e.Weight, with())
			}
		}),
		Failed:  hook(waited),
		Renewed: hook(func(ctx context.Context, _ string, with named, _ mutex.Event) { t.renewals.Add(ctx, 1, with()) }),
		Lost: hook(func(ctx context.Context, name string, with named, e mutex.Event) {
			t.losses.Add(ctx, 1, with(attribute.String("baton.loss.cause", e.Cause)))
			e.Err = errors.New("lost: " + e.Cause)
			held(ctx, name, with, e)
		}),
		Released: hook(held),
		RedisError: hook(func(ctx context.Context, _ string, with named, e mutex.Event) {
			t.errors.Add(ctx, 1, with(attribute.String("baton.operation", e.Op)))
		}),
	}
}

// errorType maps the end of a request to one of a few values; "" means a grant.
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

// span records a span that ends at e.At and took this long.
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

// Observe serves metrics of a program's locks for Prometheus, and prints OpenTelemetry spans.
//
//	go run . -listen 127.0.0.1:8080
//
// The program starts a Redis in memory. REDIS_URL selects another server. The page is
// http://127.0.0.1:8080/metrics. Its baton_… metrics are from package promtrace, and its
// otel_baton_… metrics are the same from package oteltrace. With -spans, the program prints a line
// for each wait and each hold.
//
// The packages to import are promtrace and oteltrace.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed-3d5fec5c/baton/examples/internal/server"
)

type config struct {
	url    string // of Redis; empty for an embedded one
	listen string
	spans  bool
	length time.Duration // run time; 0 means until Ctrl-C
}

func main() {
	cfg := config{url: os.Getenv("REDIS_URL")}
	flag.StringVar(&cfg.listen, "listen", "127.0.0.1:8080", "the `address` of /metrics")
	flag.BoolVar(&cfg.spans, "spans", false, "print a line for each wait and each hold")
	flag.DurationVar(&cfg.length, "for", 0, "end after this `time`; 0 means until Ctrl-C")
	flag.Parse()
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, restore) // a second Ctrl-C kills the process
	if err := run(ctx, cfg, prometheus.NewRegistry(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "observe:", err)
		os.Exit(1)
	}
}

// run runs the shop and serves its metrics for cfg.length or until ctx is done.
func run(ctx context.Context, cfg config, reg *prometheus.Registry, out io.Writer) error {
	redis, err := server.Connect(ctx, cfg.url)
	if err != nil {
		return err
	}
	defer redis.Close()
	watch, err := newWatch(reg, cfg.spans, out)
	if err != nil {
		return err
	}
	defer watch.close()

	l, err := net.Listen("tcp", cfg.listen)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	page := &http.Server{Handler: mux}
	served := make(chan error, 1)
	go func() { served <- page.Serve(l) }()
	fmt.Fprintf(out, "%s; metrics at http://%s/metrics\n", redis.Name, l.Addr())

	if cfg.length > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, cfg.length)
		defer stop()
	}
	shop := newShop(redis.Client, watch)
	shop.open(ctx)
	_ = page.Close() // Serve then returns
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

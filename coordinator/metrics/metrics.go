// Package metrics tells Prometheus how a coordinator is doing.
//
// Make a [Metrics] with [New], have it Observe requests, and Watch the parts of
// the coordinator once they are there; [Metrics.Handler] is what is scraped.
// Labels have few values by construction: routes are patterns, states and kinds
// are types of ours, and what a node says is mapped to one of those.
package metrics

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"

	"github.com/aditmesh/adit/coordinator/breaker"
	"github.com/aditmesh/adit/coordinator/mesh"
	"github.com/aditmesh/adit/coordinator/request"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/coordinator/workspaces"
)

const (
	// scrapeTimeout bounds what a scrape asks the database: less than the 10 s
	// that Prometheus waits by default.
	scrapeTimeout = 3 * time.Second

	// maxScrapes is how many may be under way.
	maxScrapes = 4
)

// latencies are the buckets of requests, in seconds: fine around what is promised
// for reads (50 ms) and writes (150 ms).
var latencies = []float64{.002, .005, .01, .02, .035, .05, .075, .1, .15, .25, .5, 1, 2.5, 5, 10, 20}

// durations are the buckets of jobs, in seconds: from a template that makes nothing
// to machines that take half an hour to come up.
var durations = []float64{.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600, 1200, 1800, 3600}

// Store is what is asked of the store.
type Store interface {
	PoolStats() store.PoolStats
	JobCounts(ctx context.Context) ([]store.JobCount, error)
}

// Sources are the parts of a coordinator.
type Sources struct {
	Store    Store
	Mesh     func() mesh.Counts
	Breakers *breaker.Registry
	// Provisioners is how many have a session here.
	Provisioners func() int
	// Pools are those of prepared workspaces.
	Pools func() workspaces.PoolCounts
}

// Metrics are a coordinator's.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	streams  *prometheus.CounterVec
	inFlight prometheus.Gauge
	jobs     *prometheus.CounterVec
	took     *prometheus.HistogramVec
	waited   *prometheus.HistogramVec
}

// New returns the metrics of the process alone.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "adit_http_request_seconds", Help: "How long answers took, without streams.", Buckets: latencies,
		}, []string{"method", "route", "status"}),
		streams: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "adit_http_streams_total", Help: "Upgrades and answers that go on for long, when they ended.",
		}, []string{"route", "status"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "adit_http_requests_in_flight", Help: "Requests under way, streams included.",
		}),
	}
	m.jobs = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "adit_jobs_finished_total", Help: "Jobs that ended at this coordinator, by what they did and what became of them.",
	}, []string{"kind", "status"})
	m.took = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "adit_job_seconds", Help: "How long provisioners took for jobs that ended, in the last attempt.", Buckets: durations,
	}, []string{"kind", "status"})
	m.waited = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "adit_job_wait_seconds", Help: "How long jobs that ended had waited for a provisioner.", Buckets: durations,
	}, []string{"kind"})
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "adit_build_info", Help: "One, with the version as a label.", ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.streams, m.inFlight, m.jobs, m.took, m.waited, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Begun notes that a request came.
func (m *Metrics) Begun() { m.inFlight.Inc() }

// Observe notes what became of it.
func (m *Metrics) Observe(seen request.Seen) {
	m.inFlight.Dec()
	route := seen.Route
	if route == "" {
		route = "none"
	}
	if seen.Long {
		m.streams.WithLabelValues(route, strconv.Itoa(class(seen.Status))+"xx").Inc()
		return
	}
	m.requests.WithLabelValues(seen.Method, route, strconv.Itoa(class(seen.Status))+"xx").Observe(seen.Took.Seconds())
}

// JobOver notes that a job ended.
func (m *Metrics) JobOver(o workspaces.Over) {
	m.jobs.WithLabelValues(o.Kind, string(o.Status)).Inc()
	m.waited.WithLabelValues(o.Kind).Observe(o.Waited.Seconds())
	if o.Took > 0 {
		m.took.WithLabelValues(o.Kind, string(o.Status)).Observe(o.Took.Seconds())
	}
}

func class(status int) int {
	if status < 100 || status > 599 { // nothing was answered: the connection broke
		return 0
	}
	return status / 100
}

// Register adds what other rooms have to tell.
func (m *Metrics) Register(c prometheus.Collector) error {
	if err := m.registry.Register(c); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// Watch adds the parts of a coordinator. It is called once.
func (m *Metrics) Watch(s Sources) { m.registry.MustRegister(newCollector(s)) }

// Handler answers scrapes. What cannot be gathered, because the database is
// away, is left out.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes, Timeout: 2 * scrapeTimeout,
	})
}

// Text returns all metrics as a scrape would.
func (m *Metrics) Text() ([]byte, error) {
	families, err := m.registry.Gather()
	var b bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	if b.Len() == 0 && err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return b.Bytes(), nil
}

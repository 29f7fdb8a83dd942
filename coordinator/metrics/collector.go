package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aditmesh/adit/coordinator/store"
)

// collector asks the parts of a coordinator when it is scraped.
type collector struct {
	Sources
	descs map[string]*prometheus.Desc
}

// described are the metrics of the parts, with their labels.
var described = []struct {
	name, help string
	labels     []string
}{
	{"adit_mesh_streams", "Control streams of nodes.", nil},
	{"adit_mesh_nodes", "Nodes by kind and state.", []string{"kind", "state"}},
	{"adit_mesh_links", "Links between a client and an agent, by the path that the client's packets take.", []string{"path"}},
	{"adit_provisioners", "Provisioners connected to this coordinator.", nil},
	{"adit_jobs", "Jobs that are not over, by status.", []string{"status"}},
	{"adit_jobs_oldest_seconds", "Age of the oldest job of a status.", []string{"status"}},
	{"adit_prepared_workspaces", "Prepared workspaces that there are to be now (wanted), that can be claimed (ready), and that are about to be (building).", []string{"state"}},
	{"adit_pools", "Templates that keep workspaces ready, by whether the last attempt to make one went well or they are failing.", []string{"state"}},
	{"adit_pool_failures", "How often in a row the pool that fails most could not make a workspace.", nil},
	{"adit_pool_back_off_seconds", "How long that pool waits between two attempts.", nil},
	{"adit_database_up", "One if the database answered this scrape.", nil},
	{"adit_database_connections", "Connections of the pool by state.", []string{"state"}},
	{"adit_database_connections_max", "Connections that the pool may have.", nil},
	{"adit_database_connections_opened_total", "Connections that were made.", nil},
	{"adit_database_waits_total", "Calls that had to wait for a connection.", nil},
	{"adit_database_wait_seconds_total", "How long they waited.", nil},
	{"adit_breaker_calls_total", "Calls to what can hang, by what became of them.", []string{"kind", "result"}},
	{"adit_breaker_targets", "Targets that are known.", []string{"kind"}},
	{"adit_breaker_open", "Targets that are left alone because they did not answer.", []string{"kind"}},
}

func newCollector(s Sources) *collector {
	c := &collector{s, make(map[string]*prometheus.Desc)}
	for _, d := range described {
		c.descs[d.name] = prometheus.NewDesc(d.name, d.help, d.labels, nil)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	send := func(kind prometheus.ValueType, name string, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(c.descs[name], kind, value, labels...)
	}
	gauge := func(name string, value float64, labels ...string) {
		send(prometheus.GaugeValue, name, value, labels...)
	}
	counter := func(name string, value float64, labels ...string) {
		send(prometheus.CounterValue, name, value, labels...)
	}

	m := c.Mesh()
	gauge("adit_mesh_streams", float64(m.Streams))
	gauge("adit_mesh_nodes", float64(m.AgentsHere), "agent", "here")
	gauge("adit_mesh_nodes", float64(m.AgentsLost), "agent", "lost")
	gauge("adit_mesh_nodes", float64(m.ClientsHere), "client", "here")
	gauge("adit_mesh_nodes", float64(m.ClientsLost), "client", "lost")
	for path, n := range m.Links {
		gauge("adit_mesh_links", float64(n), path)
	}
	gauge("adit_provisioners", float64(c.Provisioners()))

	pools := c.Pools()
	gauge("adit_prepared_workspaces", float64(pools.Wanted), "wanted")
	gauge("adit_prepared_workspaces", float64(pools.Ready), "ready")
	gauge("adit_prepared_workspaces", float64(pools.Building), "building")
	gauge("adit_pools", float64(pools.Well), "well")
	gauge("adit_pools", float64(pools.Failing), "failing")
	gauge("adit_pool_failures", float64(pools.Failures))
	gauge("adit_pool_back_off_seconds", pools.BackOff.Seconds())

	p := c.Store.PoolStats()
	gauge("adit_database_connections", float64(p.Busy), "busy")
	gauge("adit_database_connections", float64(p.Open-p.Busy), "idle")
	gauge("adit_database_connections_max", float64(p.Max))
	counter("adit_database_connections_opened_total", float64(p.Opened))
	counter("adit_database_waits_total", float64(p.Waits))
	counter("adit_database_wait_seconds_total", p.WaitTime.Seconds())

	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	jobs, err := c.Store.JobCounts(ctx)
	if err != nil {
		gauge("adit_database_up", 0)
	} else {
		gauge("adit_database_up", 1)
		counts := map[store.JobStatus]store.JobCount{}
		for _, j := range jobs {
			counts[j.Status] = j
		}
		for _, status := range []store.JobStatus{store.JobQueued, store.JobRunning} {
			j, age := counts[status], 0.0
			if j.Jobs > 0 {
				age = max(0, time.Since(j.Oldest).Seconds())
			}
			gauge("adit_jobs", float64(j.Jobs), string(status))
			gauge("adit_jobs_oldest_seconds", age, string(status))
		}
	}

	open := make(map[string]int)
	for _, s := range c.Breakers.States() {
		open[string(s.Kind)]++
	}
	for _, t := range c.Breakers.Totals() {
		kind := string(t.Kind)
		counter("adit_breaker_calls_total", float64(t.OK), kind, "ok")
		counter("adit_breaker_calls_total", float64(t.Failed), kind, "failed")
		counter("adit_breaker_calls_total", float64(t.Refused), kind, "refused")
		gauge("adit_breaker_targets", float64(t.Targets), kind)
		gauge("adit_breaker_open", float64(open[kind]), kind)
	}
}

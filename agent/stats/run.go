package stats

import (
	"context"
	"slices"
	"time"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// Every is how often a report is made.
const Every = time.Minute

// Config configures [Run].
type Config struct {
	Tally *Tally
	// Dir is on the disk that counts: the home directory.
	Dir string
	// RoundTrips returns those to the clients that are linked; nil is none.
	RoundTrips func() []time.Duration
	// Report takes each report.
	Report func(*meshv1.Stats)
	// Rests, unless it is nil, is called after a report when the last session has gone.
	Rests func()
	// Every is how often; zero means each minute.
	Every time.Duration
}

// Run makes reports until ctx ends, and one then of what is left.
func Run(ctx context.Context, cfg Config) {
	every := cfg.Every
	if every == 0 {
		every = Every
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	before, began := Measure("/", cfg.Dir), time.Now()
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case <-tick.C:
		}
		now := Measure("/", cfg.Dir)
		r := report(cfg, before, now, time.Since(began))
		cfg.Report(r)
		if cfg.Rests != nil && r.GetSsh()+r.GetSftp()+r.GetForwards() > 0 && cfg.Tally.Open() == 0 {
			cfg.Rests()
		}
		before, began = now, time.Now()
	}
}

func report(cfg Config, before, now Usage, took time.Duration) *meshv1.Stats {
	c := cfg.Tally.Count()
	r := &meshv1.Stats{
		Seconds: took.Seconds(), Active: c.Active, RxBytes: c.Rx, TxBytes: c.Tx,
		Ssh: uint32(c.Most[SSH]), Sftp: uint32(c.Most[SFTP]), Forwards: uint32(c.Most[Forward]),
		CpuLimit: now.CPULimit, Memory: now.Memory, MemoryLimit: now.MemoryLimit, Disk: now.Disk, DiskLimit: now.DiskLimit,
	}
	// A counter that went back is another one's, of a cgroup that was moved to.
	if took > 0 && now.CPU >= before.CPU {
		r.Cpu = (now.CPU - before.CPU).Seconds() / took.Seconds()
	}
	if cfg.RoundTrips != nil {
		r.LatencyMs = float64(median(cfg.RoundTrips()).Microseconds()) / 1000
	}
	return r
}

// median returns the middle one; zero of none.
func median(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[len(list)/2]
}

// Package health says what is wrong with a deployment: a typed code, what shows
// it, and the one thing that would change it.
//
// Make a [Checker] with [New] and ask it with Check, as often as anybody wants:
// it looks at most every few seconds, and never waits longer than a limit for
// what hangs. [Echo] is the other end of the check of WebSockets, and has to be
// reachable at [EchoPath]. The probes of neighbours ([Reach], [Certificate],
// [Disk]) serve "adit server --check" too.
package health

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aditmesh/adit/coordinator/breaker"
	"github.com/aditmesh/adit/coordinator/store"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// freshFor is how long a report is given again: somebody who looks again
	// sees a change, and a thousand who look cost one check.
	freshFor = 5 * time.Second

	// checkTimeout bounds a check: a probe that hangs is a finding.
	checkTimeout = 6 * time.Second

	// probeTimeout bounds one question to a neighbour. With freshFor it is how long a
	// relay may be silent before a report says so, at the latest.
	probeTimeout = 3 * time.Second
)

// Store is what is asked of the store.
type Store interface {
	Ping(ctx context.Context) error
	Now(ctx context.Context) (time.Time, error)
	PoolStats() store.PoolStats
	QueuedByTags(ctx context.Context) ([]store.QueuedJobs, error)
	FailingPools(ctx context.Context) ([]store.Pool, error)
	AgentCounts(ctx context.Context) (map[store.AgentState]int64, error)
	LostAgents(ctx context.Context) ([]store.LostAgent, error)
	LiveRelays(ctx context.Context) ([]store.Relay, error)
}

// Config configures a Checker.
type Config struct {
	Store    Store
	Breakers *breaker.Registry
	// AccessURL is where people and agents reach the coordinator. Nil is
	// unknown, and not checked.
	AccessURL *url.URL
	// Relays returns the relay map that nodes get.
	Relays func() *meshv1.Relays
	// ProbeRelay asks a relay of the map, which is at u, for what nodes ask of it. Nil
	// leaves it at HTTP.
	ProbeRelay func(ctx context.Context, u *url.URL, r *meshv1.Relay) RelayProbe
	// DataDir is the directory whose disk must not fill. Empty is none.
	DataDir string
	// Certificate returns the one that the coordinator serves now. Nil is none.
	Certificate func() *x509.Certificate
	// Transport reaches the access URL and relays. Nil is the default one.
	Transport http.RoundTripper
	Logger    *slog.Logger
}

// Checker checks a deployment. Its methods may be called concurrently.
type Checker struct {
	cfg Config

	mu    sync.Mutex // held while a check runs: others wait for its report
	last  sdk.Health
	about *meshv1.Relays // that last is of
}

// New returns a checker that has not looked yet.
func New(cfg Config) *Checker {
	if cfg.Transport == nil {
		cfg.Transport = http.DefaultTransport
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Checker{cfg: cfg}
}

// found is what a check found.
type found []sdk.Finding

// Check says how the deployment is doing, now or a few seconds ago; not from before a
// relay joined or left.
func (c *Checker) Check(ctx context.Context) sdk.Health {
	c.mu.Lock()
	defer c.mu.Unlock()
	relays := c.cfg.Relays()
	if !c.last.CheckedAt.IsZero() && time.Since(c.last.CheckedAt) < freshFor && proto.Equal(relays, c.about) {
		return c.last
	}
	// Whoever asked may go away; the others want the report all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	checks := []func(context.Context) found{
		c.database, c.jobs, c.agents, c.access, c.targets,
		func(ctx context.Context) found { return c.relays(ctx, relays) },
		func(ctx context.Context) found { return c.relaysGone(ctx, relays) },
		func(context.Context) found {
			if c.cfg.Certificate == nil {
				return nil
			}
			return Certificate(c.cfg.Certificate(), c.cfg.AccessURL, time.Now())
		},
		func(context.Context) found { return Disk(c.cfg.DataDir) },
	}
	results := make([]found, len(checks))
	var all sync.WaitGroup
	for i, check := range checks {
		all.Go(func() { results[i] = check(ctx) })
	}
	all.Wait()
	c.last, c.about = Report(slices.Concat(results...), time.Now()), relays
	return c.last
}

// Report puts findings in order.
func Report(list []sdk.Finding, at time.Time) sdk.Health {
	h := sdk.Health{Status: sdk.HealthOK, CheckedAt: at, Findings: append([]sdk.Finding{}, list...)}
	slices.SortFunc(h.Findings, func(a, b sdk.Finding) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Evidence, b.Evidence))
	})
	if len(h.Findings) > 0 {
		h.Status = h.Findings[0].Severity
	}
	return h
}

func rank(f sdk.Finding) int {
	if f.Severity == sdk.HealthError {
		return 0
	}
	return 1
}

// Codes of findings.
const (
	DatabaseUnreachable  = "database-unreachable"
	DatabaseSlow         = "database-slow"
	DatabaseBusy         = "database-busy"
	ClockSkew            = "clock-skew"
	NoProvisioner        = "no-provisioner"
	JobsWaiting          = "jobs-waiting"
	PreparedFail         = "prepared-fail"
	AgentsLost           = "agents-lost"
	AccessURLUnreachable = "access-url-unreachable"
	AccessURLUntrusted   = "access-url-untrusted"
	AccessURLWrong       = "access-url-wrong"
	AccessURLLocal       = "access-url-local"
	WebSocketBroken      = "websocket-broken"
	NoRelay              = "no-relay"
	RelayUnreachable     = "relay-unreachable"
	RelayUpgradeBroken   = "relay-upgrade-broken"
	RelayGone            = "relay-gone"
	RelayCarriesNothing  = "relay-carries-nothing"
	RelaySTUNSilent      = "relay-stun-silent"
	RelayUDPSilent       = "relay-udp-silent"
	CertificateExpired   = "certificate-expired"
	CertificateExpiring  = "certificate-expiring"
	CertificateMismatch  = "certificate-mismatch"
	DiskNearlyFull       = "disk-nearly-full"
	TargetNotAnswering   = "target-not-answering"
)

// warning and failure make findings.
func warning(code, fix, evidence string, args ...any) sdk.Finding {
	return sdk.Finding{Code: code, Severity: sdk.HealthWarning, Evidence: fmt.Sprintf(evidence, args...), Fix: fix}
}

func failure(code, fix, evidence string, args ...any) sdk.Finding {
	f := warning(code, fix, evidence, args...)
	f.Severity = sdk.HealthError
	return f
}

// targets finds what breakers leave alone.
func (c *Checker) targets(context.Context) found {
	var list found
	for _, s := range c.cfg.Breakers.States() {
		if s.Kind == breaker.Relay || s.Kind == breaker.Self {
			continue // they have findings of their own
		}
		list = append(list, warning(TargetNotAnswering, "see that it is up and that this host reaches it; it is tried again by itself",
			"%s %s is left alone: %s", s.Kind, s.Target, s.LastError))
		if len(list) == maxTargets {
			break
		}
	}
	return list
}

// maxTargets bounds the findings about targets: the first say enough.
const maxTargets = 20

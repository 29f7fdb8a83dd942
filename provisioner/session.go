package provisioner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/rpc"
)

const (
	// protocolVersion is the protocol that this provisioner speaks.
	protocolVersion = 1

	// Path is where the coordinator serves provisioners.
	Path = "/rpc/v1/provisioner"

	// A broken session is made anew after a pause that doubles.
	sessionRetryMin = 100 * time.Millisecond
	sessionRetryMax = 3 * time.Second

	// dialTimeout bounds one attempt.
	dialTimeout = 10 * time.Second

	// defaultLease counts until the coordinator has said its own.
	defaultLease = 30 * time.Second

	// beats is how many heartbeats go into a lease: several can be late before
	// the coordinator gives a job up.
	beats = 6

	// logPause is how long lines are gathered: people do not see it, and each
	// batch is one statement for the coordinator.
	logPause = 100 * time.Millisecond
)

var errFenced = errors.New("the coordinator could not be reached for as long as a lease; Terraform was interrupted")

// errRefused is that the coordinator ended a session, and says why.
var errRefused = errors.New("refused by the coordinator")

// contact is when the coordinator was last heard of.
type contact struct {
	at    atomic.Int64 // nanoseconds since 1970
	lease atomic.Int64 // nanoseconds
}

func (c *contact) heard() { c.at.Store(time.Now().UnixNano()) }

func (c *contact) left() time.Duration {
	return time.Duration(c.at.Load() + c.lease.Load() - time.Now().UnixNano())
}

// keepSession keeps a session up until ctx is done or the token is refused, and
// interrupts the jobs when it could not for as long as a lease.
func (p *provisioner) keepSession(ctx context.Context) error {
	c := new(contact)
	c.lease.Store(int64(defaultLease))
	c.heard()
	fenced := make(chan struct{})
	watch, cancel := context.WithCancel(ctx)
	go func() {
		defer close(fenced)
		p.fence(watch, c)
	}()
	defer func() {
		cancel()
		<-fenced
	}()
	pause := sessionRetryMin
	for {
		welcomed, err := p.session(ctx, c)
		p.link.set(nil)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, rpc.ErrUnauthorized) && !welcomed {
			return err
		}
		if welcomed {
			pause = sessionRetryMin
		}
		level := slog.LevelInfo
		if errors.Is(err, errRefused) {
			level = slog.LevelWarn // it will not get better by itself
		}
		said := "session with the coordinator ended; jobs go on"
		if !welcomed {
			said = "no session with the coordinator; it is tried again"
		}
		p.log.Log(ctx, level, said, "err", err, "retry_in", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, sessionRetryMax)
	}
}

// fence interrupts what runs when the lease is over.
func (p *provisioner) fence(ctx context.Context, c *contact) {
	for {
		left := c.left()
		if left <= 0 {
			for _, j := range p.all() {
				j.interrupt(errFenced)
			}
			left = time.Second // whatever is started meanwhile
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(left, time.Second)):
		}
	}
}

// session is one session, from dial to its end; welcomed tells whether it was
// one at all.
func (p *provisioner) session(ctx context.Context, c *contact) (welcomed bool, err error) {
	dial, done := context.WithTimeout(ctx, dialTimeout)
	cc, err := rpc.Dial(dial, rpc.DialConfig{
		URL: p.cfg.URL, Path: Path, Token: p.cfg.Token, HTTPClient: p.cfg.HTTPClient, MaxMessage: rpc.MaxJobMessage,
	})
	done()
	if err != nil {
		return false, err
	}
	defer cc.Close()
	client := provisionerv1.NewProvisionerClient(cc)
	sctx, cancel := context.WithCancel(ctx)
	stream, err := client.Connect(sctx)
	if err != nil {
		cancel()
		return false, fmt.Errorf("provisioner: open session: %w", err)
	}
	// An error of Send is told better by Recv.
	_ = stream.Send(&provisionerv1.Up{Msg: &provisionerv1.Up_Hello{Hello: p.hello()}})
	spoken := make(chan struct{})
	welcome := make(chan struct{})
	go func() {
		defer close(spoken)
		select {
		case <-welcome:
			var telling sync.WaitGroup
			telling.Go(func() { p.tell(sctx, client) })
			p.speak(sctx, stream, cc, c)
			telling.Wait()
		case <-sctx.Done():
		}
	}()
	defer func() {
		cancel()
		<-spoken
	}()
	for {
		down, err := stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("closed by the coordinator")
			}
			return welcomed, fmt.Errorf("provisioner: session: %w", err)
		}
		c.heard()
		switch m := down.GetMsg().(type) {
		case *provisionerv1.Down_Welcome:
			if lease := m.Welcome.GetLeaseSeconds(); lease > 0 {
				c.lease.Store(int64(time.Duration(lease) * time.Second))
			}
			if !welcomed {
				welcomed = true
				close(welcome)
				p.link.set(client)
				p.log.Info("ready for jobs", "coordinator", p.cfg.URL.Redacted(), "provisioner", m.Welcome.GetProvisionerId(), "slots", p.cfg.Slots)
			}
		case *provisionerv1.Down_Job:
			p.take(ctx, m.Job)
		case *provisionerv1.Down_Cancel:
			if j := p.find(m.Cancel.GetJob()); j != nil {
				j.cancel(m.Cancel.GetForce())
			}
		case *provisionerv1.Down_Error:
			return welcomed, fmt.Errorf("provisioner: %w: %s", errRefused, m.Error.GetMessage())
		}
	}
}

func (p *provisioner) hello() *provisionerv1.Hello {
	return &provisionerv1.Hello{
		Protocol: protocolVersion, Version: p.cfg.Version, Name: p.cfg.Name, Tags: p.cfg.Tags,
		Slots: uint32(p.cfg.Slots), TerraformVersion: p.version, Jobs: p.refs(), Instance: p.instance,
		Leaving: p.isLeaving(),
	}
}

// speak sends heartbeats until ctx is done or sending fails.
func (p *provisioner) speak(ctx context.Context, stream provisionerv1.Provisioner_ConnectClient, cc *rpc.Client, c *contact) {
	every := time.Duration(c.lease.Load()) / beats
	beat := time.NewTicker(every)
	defer beat.Stop()
	leaving := p.link.leaving
	send := func(up *provisionerv1.Up) bool { return stream.Send(up) == nil }
	for {
		ok := true
		select {
		case <-ctx.Done():
			return
		case <-leaving:
			leaving = nil
			ok = send(&provisionerv1.Up{Msg: &provisionerv1.Up_Bye{Bye: &provisionerv1.Bye{}}})
		case ref := <-p.refused:
			ok = send(&provisionerv1.Up{Msg: &provisionerv1.Up_Refuse{Refuse: &provisionerv1.Refuse{Job: ref}}})
		case <-beat.C:
			ok = send(&provisionerv1.Up{Msg: &provisionerv1.Up_Heartbeat{Heartbeat: &provisionerv1.Heartbeat{Jobs: p.refs()}}})
			answered, cancel := context.WithTimeout(ctx, every)
			if cc.Ping(answered) == nil {
				c.heard()
			}
			cancel()
		}
		if !ok {
			return // Recv tells why
		}
	}
}

// tell sends the jobs' logs until ctx is done. A line that is not acknowledged is
// sent again, also in the next session.
func (p *provisioner) tell(ctx context.Context, client provisionerv1.ProvisionerClient) {
	tick := time.NewTicker(logPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-p.hurried:
		}
		for _, j := range p.all() {
			j.logs.send(func(first uint64, lines []*provisionerv1.Line) bool { return p.addLog(ctx, client, j, first, lines) })
		}
	}
}

// addLog sends lines, and reports whether they need not be sent again.
func (p *provisioner) addLog(ctx context.Context, client provisionerv1.ProvisionerClient, j *job, first uint64, lines []*provisionerv1.Line) bool {
	try, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := client.AddLog(try, &provisionerv1.Log{Job: j.ref, First: first, Lines: lines})
	if err != nil && !passes(err) {
		j.log.Debug("lines of log not taken", "lines", len(lines), "err", err)
		return true // they belong to an earlier attempt
	}
	return err == nil
}

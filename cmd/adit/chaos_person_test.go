package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

// person moves one workspace after the other.
type person struct {
	*chaos
	n    int
	dice *rand.Rand

	made  int    // workspaces so far
	name  string // of the one there is; empty if there is none
	id    string
	build int // the last one that was asked for
	state stateHead
}

type stateHead struct {
	Lineage string
	Serial  uint64
}

// move is what a person wants next.
type move struct {
	transition string
	version    int
	parameters map[string]string
	kills      []kill // meanwhile
}

// kill is what happens at some moment of a build, or after the one before.
type kill struct {
	what  int     // of 100
	which int     // of the provisioners
	at    float64 // part of the build
	pause time.Duration
	force bool
}

func (p *person) live() {
	for p.left.Add(-1) >= 0 && !p.t.Failed() {
		if p.dice.IntN(8) == 0 {
			if err := p.push(2, true); err != nil {
				p.t.Errorf("push: %v", err)
			}
		}
		p.next(p.choose())
	}
}

// leave deletes the workspace while nothing is killed.
func (p *person) leave() {
	if p.name != "" && !p.t.Failed() {
		p.next(move{transition: sdk.TransitionDelete})
		if p.name != "" {
			p.t.Errorf("workspace %s could not be deleted in peace", p.name)
		}
	}
}

func (p *person) choose() move {
	m := move{transition: sdk.TransitionStart}
	extra := map[string]string{"extra": strconv.Itoa(p.dice.IntN(3))}
	roll := p.dice.IntN(100)
	switch {
	case p.name == "":
		m.version, m.parameters = roll%2, extra
	case roll < 15:
	case roll < 30:
		m.parameters = extra
	case roll < 40:
		m.version = sdk.ActiveVersion
	case roll < 65:
		m.transition = sdk.TransitionStop
	default:
		m.transition = sdk.TransitionDelete
	}
	for range 1 + p.dice.IntN(4)/3 {
		k := kill{what: p.dice.IntN(100), which: p.dice.IntN(2), at: p.dice.Float64(), force: p.dice.IntN(2) == 0}
		if k.pause = time.Duration(p.dice.IntN(500)) * time.Millisecond; p.dice.IntN(3) == 0 {
			k.pause = chaosAway + 4*k.pause
		}
		m.kills = append(m.kills, k)
	}
	return m
}

// next makes a build and looks at what came of it.
func (p *person) next(m move) {
	if err := p.ask(m); err != nil {
		p.fault(stuckJobs, "workspace %s: %s: %v", p.name, m.transition, err)
		return
	}
	began, over := time.Now(), make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() { p.disturb(m.kills, over) })
	b, err := p.await(m)
	close(over)
	ended := time.Now()
	if err != nil {
		p.fault(stuckJobs, "workspace %s: build %d (%s): %v", p.name, p.build, m.transition, err)
	}
	killer.Wait()
	p.tally.add("builds " + b.Job.Status)
	p.t.Logf("%s build %d: %s %s after %v: %s", p.name, p.build, m.transition, b.Job.Status, ended.Sub(began).Round(100*time.Millisecond), b.Job.Error)
	if err == nil {
		p.look(m, b)
		p.tally.note(ended.Sub(began), time.Since(ended))
	}
}

// ask asks for a build until it is there. An answer that got lost may have been
// a yes.
func (p *person) ask(m move) error {
	ctx := p.t.Context()
	fresh := p.name == ""
	if fresh {
		p.made++
		p.name, p.id, p.build, p.state = fmt.Sprintf("w%d-%d", p.n, p.made), "", 0, stateHead{}
	}
	return p.answered(func() error {
		w, err := p.client.Workspace(ctx, "me", p.name)
		switch {
		case err == nil && w.LatestBuild != nil && w.LatestBuild.Number > p.build:
			p.id, p.build = w.ID, w.LatestBuild.Number
			return nil
		case err == nil:
			b, err := p.client.CreateBuild(ctx, "me", p.name, sdk.NewBuild{Transition: m.transition, Version: m.version, Parameters: m.parameters})
			if err == nil {
				p.build = b.Number
			}
			return err
		case fresh && errors.Is(err, sdk.ErrNotFound):
			w, err := p.client.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: p.name, Template: "chaos", Version: m.version, Parameters: m.parameters})
			if err == nil {
				p.id, p.build = w.ID, 1
			}
			return err
		default:
			return err
		}
	})
}

// await waits for the end of the build.
func (p *person) await(m move) (b sdk.Build, err error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(chaosPatience); time.Now().Before(deadline); <-tick.C {
		err = p.answered(func() (err error) {
			b, err = p.client.Build(p.t.Context(), "me", p.name, p.build)
			return err
		})
		if errors.Is(err, sdk.ErrNotFound) && m.transition == sdk.TransitionDelete {
			b.Job.Status = "succeeded"
			return b, nil
		}
		if err != nil || b.Job.Done() {
			return b, err
		}
	}
	return b, fmt.Errorf("not over after %v: %+v", chaosPatience, b.Job)
}

// disturb kills while a build goes on.
func (p *person) disturb(kills []kill, over <-chan struct{}) {
	for _, k := range kills {
		select {
		case <-over:
			return
		case <-time.After(p.tally.moment(k.at)):
		}
		switch {
		case k.what < 10: // let it be
		case k.what < 18:
			if p.client.CancelBuild(p.t.Context(), "me", p.name, p.build, k.force) == nil {
				p.tally.add("cancels")
			}
		case k.what < 45:
			b, err := p.client.Build(p.t.Context(), "me", p.name, p.build)
			if err == nil && killTerraform(b.Job.ID, over) {
				p.tally.add("kills of Terraform")
			}
		case k.what < 75:
			v := p.runners[k.which%len(p.runners)]
			p.tally.add("kills of the " + v.name)
			v.kill(k.pause)
		default:
			p.tally.add("kills of the " + p.server.name)
			p.server.kill(k.pause)
		}
	}
}

// look waits until the workspace is free, which is when the state of its last
// build has arrived, and looks at what that says and what there is outside.
func (p *person) look(m move, b sdk.Build) {
	about := fmt.Sprintf("workspace %s (%s) after build %d (%s, %s: %s)", p.name, p.id, p.build, m.transition, b.Job.Status, b.Job.Error)
	if b.Job.Status == "succeeded" && m.transition == sdk.TransitionDelete {
		if there, err := p.things(); err != nil || len(there) > 0 {
			p.fault(orphans, "%s: %v, %v", about, there, err)
		}
		p.name = ""
		return
	}
	if err := p.free(); err != nil {
		p.fault(stuckJobs, "%s is not free: %v", about, err)
		return
	}
	claims, err := p.claims(p.t.Context())
	if err != nil {
		p.fault(lostStates, "%s: %v", about, err)
		return
	}
	there, err := p.things()
	if err != nil {
		p.t.Error(err)
	}
	for _, thing := range there {
		if !slices.Contains(claims, thing) {
			p.fault(lostStates, "%s: %s is there, and the state only has %v", about, thing, claims)
		}
	}
	if b.Job.Status != "succeeded" {
		return
	}
	if len(there) != len(claims) {
		p.fault(lostStates, "%s: the state has %v, and there is %v", about, claims, there)
	}
	if !p.onHost {
		return
	}
	agents, err := filepath.Glob(filepath.Join(p.data[0], "workspaces", p.id, "agents", "*"))
	if want := map[string]int{sdk.TransitionStart: 1}[m.transition]; err != nil || len(agents) != want {
		p.fault(orphans, "%s: agents are %v, %v; there must be %d", about, agents, err, want)
	}
}

// free waits until the workspace is free: only then it may be renamed.
func (p *person) free() (err error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(chaosPatience); time.Now().Before(deadline); <-tick.C {
		err = p.answered(func() error {
			_, err := p.client.RenameWorkspace(p.t.Context(), "me", p.name, p.name)
			return err
		})
		if !errors.Is(err, sdk.ErrConflict) {
			return err
		}
	}
	return err
}

// things are what there is outside of the workspace.
func (p *person) things() ([]string, error) {
	return filepath.Glob(filepath.Join(p.outside, p.id+".*"))
}

// claims are the things that the workspace's state knows. The state must follow
// the one before.
func (p *person) claims(ctx context.Context) ([]string, error) {
	var raw []byte
	err := p.answered(func() (err error) {
		raw, err = p.client.PullState(ctx, "me", p.name)
		return err
	})
	if errors.Is(err, sdk.ErrNotFound) && p.state.Lineage == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var state struct {
		stateHead
		Resources []struct {
			Name      string
			Instances []struct {
				Attributes struct{ Input struct{ Value string } }
			}
		}
	}
	if err := json.Unmarshal(raw, &state); err != nil {
		return nil, err
	}
	was := p.state
	p.state = state.stateHead
	if was.Lineage != "" && was.Lineage != state.Lineage || state.Serial < was.Serial {
		return nil, fmt.Errorf("%+v does not follow %+v", state.stateHead, was)
	}
	var claims []string
	for _, r := range state.Resources {
		for _, i := range r.Instances {
			if strings.HasPrefix(r.Name, "claim_") {
				claims = append(claims, i.Attributes.Input.Value)
			}
		}
	}
	return claims, nil
}

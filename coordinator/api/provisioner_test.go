package api

import (
	"context"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"google.golang.org/grpc"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/rpc"
)

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// provisioner is one that the test plays.
type provisioner struct {
	t      *testing.T
	client provisionerv1.ProvisionerClient
	stream provisionerv1.Provisioner_ConnectClient
	jobs   chan *provisionerv1.Job
	cancel chan *provisionerv1.Cancel
	said   uint64 // how many lines of its job's log
}

// provision connects a provisioner until the test ends.
func (d *deployment) provision(t *testing.T) *provisioner {
	t.Helper()
	server := rpc.NewServer(rpc.ServerConfig{
		Authenticate: func(ctx context.Context, token string) (any, error) { return d.auth.Authenticate(ctx, token) },
		MaxMessage:   rpc.MaxJobMessage, MaxStreams: 64,
	}, func(r grpc.ServiceRegistrar) { provisionerv1.RegisterProvisionerServer(r, d.workspaces) })
	web := httptest.NewServer(server)
	u, err := url.Parse(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	conn, err := rpc.Dial(ctx, rpc.DialConfig{URL: u, Path: "/", Token: d.auth.BuiltInToken(), MaxMessage: rpc.MaxJobMessage})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		conn.Close()
		server.Close()
		web.Close()
	})
	p := &provisioner{
		t: t, client: provisionerv1.NewProvisionerClient(conn),
		jobs: make(chan *provisionerv1.Job, 10), cancel: make(chan *provisionerv1.Cancel, 10),
	}
	if p.stream, err = p.client.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	p.up(&provisionerv1.Up{Msg: &provisionerv1.Up_Hello{Hello: &provisionerv1.Hello{Protocol: 1, Version: "test", Name: "lab", Slots: 4, TerraformVersion: "1.9.9"}}})
	if down, err := p.stream.Recv(); err != nil || down.GetWelcome() == nil {
		t.Fatalf("hello was answered with %v, %v", down, err)
	}
	go func() { // ends with the stream
		for {
			down, err := p.stream.Recv()
			if err != nil {
				return
			}
			if j := down.GetJob(); j != nil {
				p.jobs <- j
			}
			if c := down.GetCancel(); c != nil {
				p.cancel <- c
			}
		}
	}()
	return p
}

func (p *provisioner) up(u *provisionerv1.Up) {
	p.t.Helper()
	if err := p.stream.Send(u); err != nil {
		p.t.Fatal(err)
	}
}

// job returns the job that it is handed next.
func (p *provisioner) job() *provisionerv1.Job {
	p.t.Helper()
	select {
	case j := <-p.jobs:
		return j
	case <-time.After(patience):
		p.t.Fatal("no job came")
		return nil
	}
}

// says sends lines of the log of its job.
func (p *provisioner) says(j *provisionerv1.Job, stage string, texts ...string) {
	p.t.Helper()
	l := &provisionerv1.Log{Job: j.GetRef(), First: p.said + 1}
	p.said += uint64(len(texts))
	for _, text := range texts {
		l.Lines = append(l.Lines, &provisionerv1.Line{AtMs: time.Now().UnixMilli(), Stage: stage, Text: text})
	}
	if _, err := p.client.AddLog(p.t.Context(), l); err != nil {
		p.t.Fatal(err)
	}
}

// finish ends a job.
func (p *provisioner) finish(j *provisionerv1.Job, r *provisionerv1.Result) {
	p.t.Helper()
	r.Job = j.GetRef()
	if _, err := p.client.Finish(p.t.Context(), r); err != nil {
		p.t.Fatal(err)
	}
}

// planned reports what a build is about to make.
func (p *provisioner) planned(j *provisionerv1.Job, agents ...*provisionerv1.Agent) {
	p.t.Helper()
	r := &provisionerv1.PlanReport{Job: j.GetRef(), Agents: agents, Resources: []*provisionerv1.Resource{
		{Address: "adit_process.main", Type: "adit_process", Name: "main", Ephemeral: true, Agents: []string{"main"}},
		{Address: "x_disk.home", Type: "x_disk", Name: "home", Metadata: []*provisionerv1.Metadata{
			{Key: "size", Value: "1 GiB"}, {Key: "key", Value: "hush", Sensitive: true},
		}},
	}}
	if _, err := p.client.Planned(p.t.Context(), r); err != nil {
		p.t.Fatal(err)
	}
}

package provisioner

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/rpc"
	"github.com/aditmesh/adit/provisioner/standin"
	"github.com/aditmesh/adit/provisioner/terraform"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(mainFunc(func() int { return standin.Run(m) }),
		// terraform-exec does not wait for a process whose context ended in the
		// moment of its start.
		goleak.IgnoreTopFunction("os/exec.(*Cmd).watchCtx"))
}

// mainFunc is what runs the tests.
type mainFunc func() int

func (f mainFunc) Run() int { return f() }

// coordinator is as much of one as a provisioner sees.
type coordinator struct {
	provisionerv1.UnimplementedProvisionerServer
	t     *testing.T
	lease uint32
	down  chan *provisionerv1.Down // what the next free session sends
	away  atomic.Bool              // refuses everybody
	mute  atomic.Int32             // how many batches of log get no answer
	web   *httptest.Server
	rpc   atomic.Pointer[rpc.Server]

	mu       sync.Mutex // guards the following
	changed  chan struct{}
	archives map[string][]byte
	states   map[string][]byte // by job
	heads    map[string]*provisionerv1.StateHead
	logs     map[string][]string
	planned  map[string]*provisionerv1.PlanReport
	results  map[string]*provisionerv1.Result
	hellos   []*provisionerv1.Hello
	sessions int // that have not ended
	bye      bool
	refused  []*provisionerv1.JobRef
}

func newCoordinator(t *testing.T) *coordinator {
	t.Helper()
	c := &coordinator{
		t: t, lease: 30, down: make(chan *provisionerv1.Down, 64), changed: make(chan struct{}),
		archives: make(map[string][]byte), states: make(map[string][]byte), heads: make(map[string]*provisionerv1.StateHead),
		logs: make(map[string][]string), planned: make(map[string]*provisionerv1.PlanReport), results: make(map[string]*provisionerv1.Result),
	}
	c.open()
	c.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.away.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		c.rpc.Load().ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		c.rpc.Load().Close()
		c.web.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return c
}

func (c *coordinator) open() {
	c.rpc.Store(rpc.NewServer(rpc.ServerConfig{
		Authenticate: func(_ context.Context, token string) (any, error) {
			if token != standin.Token {
				return nil, errors.New("bad token")
			}
			return token, nil
		},
		Refuse:     func(w http.ResponseWriter, err error) { http.Error(w, err.Error(), http.StatusUnauthorized) },
		MaxMessage: rpc.MaxJobMessage, MaxStreams: 64,
	}, func(r grpc.ServiceRegistrar) { provisionerv1.RegisterProvisionerServer(r, c) }))
}

// leave ends all sessions and lets none in until comeBack.
func (c *coordinator) leave() {
	c.away.Store(true)
	c.rpc.Load().Close()
}

func (c *coordinator) comeBack() {
	c.open()
	c.away.Store(false)
}

// note changes what is known, and wakes those who wait for it.
func (c *coordinator) note(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

// await waits until is holds.
func (c *coordinator) await(what string, is func() bool) {
	c.t.Helper()
	deadline := time.After(90 * time.Second)
	for {
		c.mu.Lock()
		ok, changed := is(), c.changed
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			c.mu.Lock()
			defer c.mu.Unlock()
			for id, lines := range c.logs {
				c.t.Logf("%s: %q", id, lines[max(0, len(lines)-20):])
			}
			c.t.Fatalf("waited 90 s for %s", what)
		}
	}
}

func (c *coordinator) Connect(stream provisionerv1.Provisioner_ConnectServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	c.note(func() { c.hellos, c.sessions = append(c.hellos, first.GetHello()), c.sessions+1 })
	defer c.note(func() { c.sessions-- })
	welcome := &provisionerv1.Welcome{ProvisionerId: "p1", LeaseSeconds: c.lease}
	if err := stream.Send(&provisionerv1.Down{Msg: &provisionerv1.Down_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		for {
			select {
			case <-stream.Context().Done():
				return
			case down := <-c.down:
				if stream.Send(down) != nil {
					return
				}
			}
		}
	})
	for {
		up, err := stream.Recv()
		if err != nil {
			return nil
		}
		c.note(func() {
			c.bye = c.bye || up.GetBye() != nil
			if r := up.GetRefuse(); r != nil {
				c.refused = append(c.refused, r.GetJob())
			}
		})
	}
}

// awaitLeft waits until no provisioner is there any more: what is ordered then goes to
// the next, and not to one that does not hear it.
func (c *coordinator) awaitLeft() {
	c.t.Helper()
	c.await("the end of all sessions", func() bool { return c.sessions == 0 })
}

func (c *coordinator) chunks(stream grpc.ServerStreamingServer[provisionerv1.Chunk], from map[string][]byte, id string) error {
	c.mu.Lock()
	data := from[id]
	c.mu.Unlock()
	for len(data) > 0 {
		n := min(len(data), 32<<10)
		if err := stream.Send(&provisionerv1.Chunk{Data: data[:n]}); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func (c *coordinator) Archive(ref *provisionerv1.JobRef, stream grpc.ServerStreamingServer[provisionerv1.Chunk]) error {
	return c.chunks(stream, c.archives, ref.GetId())
}

func (c *coordinator) LoadState(ref *provisionerv1.JobRef, stream grpc.ServerStreamingServer[provisionerv1.Chunk]) error {
	return c.chunks(stream, c.states, ref.GetId())
}

func (c *coordinator) SaveState(stream grpc.ClientStreamingServer[provisionerv1.StateChunk, provisionerv1.Saved]) error {
	var head *provisionerv1.StateHead
	var data []byte
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if chunk.GetHead() != nil {
			head = chunk.GetHead()
		}
		data = append(data, chunk.GetData()...)
	}
	if head == nil {
		return status.Error(codes.InvalidArgument, "no head")
	}
	c.note(func() { c.states[head.GetJob().GetId()], c.heads[head.GetJob().GetId()] = data, head })
	return stream.SendAndClose(&provisionerv1.Saved{Current: true})
}

func (c *coordinator) Planned(_ context.Context, r *provisionerv1.PlanReport) (*provisionerv1.Acknowledged, error) {
	c.note(func() { c.planned[r.GetJob().GetId()] = r })
	return &provisionerv1.Acknowledged{}, nil
}

func (c *coordinator) AddLog(_ context.Context, l *provisionerv1.Log) (*provisionerv1.Acknowledged, error) {
	c.note(func() {
		id := l.GetJob().GetId()
		if had := uint64(len(c.logs[id])); l.GetFirst() > had+1 {
			c.t.Errorf("lines of log from %d on, and there are %d", l.GetFirst(), had)
		}
		for i, line := range l.GetLines() {
			if l.GetFirst()+uint64(i) > uint64(len(c.logs[id])) {
				c.logs[id] = append(c.logs[id], line.GetText())
			}
		}
	})
	if c.mute.Add(-1) >= 0 {
		return nil, status.Error(codes.Unavailable, "lost")
	}
	return &provisionerv1.Acknowledged{}, nil
}

func (c *coordinator) Finish(_ context.Context, r *provisionerv1.Result) (*provisionerv1.Acknowledged, error) {
	c.note(func() { c.results[r.GetJob().GetId()] = r })
	return &provisionerv1.Acknowledged{}, nil
}

// order hands out a job with a template of one file.
func (c *coordinator) order(id, main string, change func(*provisionerv1.Job)) {
	c.t.Helper()
	c.orderFiles(id, map[string]string{"main.tf": main}, change)
}

// orderFiles hands out a job with a template of several.
func (c *coordinator) orderFiles(id string, files map[string]string, change func(*provisionerv1.Job)) {
	c.t.Helper()
	archive := pack(c.t, files)
	digest := sha256.Sum256(archive)
	job := &provisionerv1.Job{
		Ref: &provisionerv1.JobRef{Id: id, Attempt: 1}, ArchiveDigest: digest[:], TimeoutSeconds: 120,
		Work: &provisionerv1.Job_Build{Build: &provisionerv1.Build{WorkspaceId: testWorkspace.String(), WorkspaceName: "demo", AgentSecret: []byte("agents' secret")}},
	}
	if change != nil {
		change(job)
	}
	c.note(func() { c.archives[id] = archive })
	c.down <- &provisionerv1.Down{Msg: &provisionerv1.Down_Job{Job: job}}
}

func (c *coordinator) cancel(id string, force bool) {
	c.down <- &provisionerv1.Down{Msg: &provisionerv1.Down_Cancel{Cancel: &provisionerv1.Cancel{
		Job: &provisionerv1.JobRef{Id: id, Attempt: 1}, Force: force,
	}}}
}

// result waits for the end of a job.
func (c *coordinator) result(id string) *provisionerv1.Result {
	c.t.Helper()
	c.await("the result of "+id, func() bool { return c.results[id] != nil })
	c.mu.Lock()
	defer c.mu.Unlock()
	return proto.CloneOf(c.results[id])
}

// succeed waits for a job that must succeed.
func (c *coordinator) succeed(id string) *provisionerv1.Result {
	c.t.Helper()
	r := c.result(id)
	if r.GetStatus() != provisionerv1.Result_SUCCEEDED {
		c.t.Fatalf("job %s: %v: %s\n%s", id, r.GetStatus(), r.GetError(), strings.Join(c.log(id), "\n"))
	}
	return r
}

// fail waits for a job that must not succeed, and returns why.
func (c *coordinator) fail(id string) string {
	c.t.Helper()
	r := c.result(id)
	if r.GetStatus() == provisionerv1.Result_SUCCEEDED {
		c.t.Fatalf("job %s succeeded\n%s", id, strings.Join(c.log(id), "\n"))
	}
	return r.GetError()
}

func (c *coordinator) log(id string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.logs[id]...)
}

func (c *coordinator) state(id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.states[id])
}

func (c *coordinator) awaitLog(id, text string) {
	c.t.Helper()
	c.await("the log line "+text, func() bool {
		for _, l := range c.logs[id] {
			if strings.Contains(l, text) {
				return true
			}
		}
		return false
	})
}

// config is a provisioner's on a directory.
func (c *coordinator) config(dir string) Config { return c.configAt(c.web.URL, dir) }

func (c *coordinator) configAt(at, dir string) Config {
	u, err := url.Parse(at)
	if err != nil {
		c.t.Fatal(err)
	}
	var out io.Writer = io.Discard
	if testing.Verbose() {
		out = os.Stderr
	}
	return Config{
		URL: u, Token: standin.Token, Name: "test", Slots: standin.Slots, Dir: dir, Version: "test",
		Terraform: terraform.Config{Environ: os.Environ(), Grace: standin.Grace},
		Logger:    slog.New(slog.NewTextHandler(out, nil)),
	}
}

// start runs a provisioner until the test ends or the returned function is
// called.
func start(t *testing.T, cfg Config) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, cfg) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("provisioner: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func pack(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	w := tar.NewWriter(zipped)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

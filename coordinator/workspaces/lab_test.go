package workspaces

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/seal"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/coordinator/store/storetest"
	"github.com/aditmesh/adit/pkg/postgres"
	"github.com/aditmesh/adit/pkg/postgres/postgrestest"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/rpc"
)

// database is one real Postgres for all tests; each has a database of its own.
var database *postgres.Server

func TestMain(m *testing.M) { os.Exit(storetest.Main(m, &database)) }

// timeout is how long a test waits for what has to happen.
const timeout = 10 * time.Second

// lab is a coordinator's part for workspaces on a real Postgres, with provisioners
// that the tests play, on real connections. It can be killed and started anew.
type lab struct {
	t    *testing.T
	db   string
	conf Config
	user store.User
	// keyText are the keys that seal states.
	keyText string

	*Service
	st   *store.Store
	web  *httptest.Server
	url  *url.URL
	kill func()
}

func newLab(t *testing.T, conf Config) *lab {
	t.Helper()
	l := &lab{t: t, db: postgrestest.Database(t, database), conf: conf, keyText: seal.NewKey()}
	l.start()
	t.Cleanup(func() { l.kill() })
	var err error
	l.user, err = l.st.CreateUser(t.Context(), store.NewUser{Username: "alice", Email: "alice@example.com", PasswordHash: "x", Role: store.RoleOwner})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start starts a coordinator; kill ends it with nothing said to anybody.
func (l *lab) start() {
	l.t.Helper()
	st, err := store.Open(context.WithoutCancel(l.t.Context()), l.db, slog.New(slog.DiscardHandler))
	if err != nil {
		l.t.Fatal(err)
	}
	conf := l.conf
	keys, err := seal.Parse(l.keyText)
	if err != nil {
		l.t.Fatal(err)
	}
	conf.Store, conf.Keys = st, keys
	l.st, l.Service = st, New(conf)
	authn := auth.New(st)
	server := rpc.NewServer(rpc.ServerConfig{
		Authenticate: func(ctx context.Context, token string) (any, error) {
			if token == "built-in" {
				token = authn.BuiltInToken()
			}
			return authn.Authenticate(ctx, token)
		},
		Refuse:     func(w http.ResponseWriter, err error) { http.Error(w, err.Error(), http.StatusUnauthorized) },
		MaxMessage: rpc.MaxJobMessage, MaxStreams: 64,
	}, func(r grpc.ServiceRegistrar) { provisionerv1.RegisterProvisionerServer(r, l.Service) })
	l.web = httptest.NewServer(server)
	l.url, err = url.Parse(l.web.URL)
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	l.kill = func() {
		cancel()
		<-done
		server.Close()
		l.web.Close()
		st.Close()
	}
}

// restart kills the coordinator and starts another.
func (l *lab) restart() {
	l.t.Helper()
	l.kill()
	l.start()
}

// withKeys starts it anew with other keys.
func (l *lab) withKeys(text string) {
	l.t.Helper()
	l.keyText = text
	l.restart()
}

// provisioner is one that a test plays.
type provisioner struct {
	t      *testing.T
	stream provisionerv1.Provisioner_ConnectClient
	client provisionerv1.ProvisionerClient
	downs  chan *provisionerv1.Down
	close  func()
}

// join connects a provisioner that has two slots and these jobs still.
func (l *lab) join(name, token string, jobs ...*provisionerv1.JobRef) *provisioner {
	l.t.Helper()
	return l.joinAs(token, &provisionerv1.Hello{Protocol: 1, Version: "test", Name: name, Slots: 2, TerraformVersion: "1.0", Jobs: jobs})
}

func (l *lab) joinAs(token string, hello *provisionerv1.Hello) *provisioner {
	l.t.Helper()
	p := l.knock(token, hello)
	if d := p.down(); d.GetWelcome() == nil {
		l.t.Fatalf("hello was answered with %v", d)
	}
	return p
}

// knock says hello, and leaves it to the test what the answer is.
func (l *lab) knock(token string, hello *provisionerv1.Hello) *provisioner {
	l.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(l.t.Context()))
	conn, err := rpc.Dial(ctx, rpc.DialConfig{URL: l.url, Path: "/", Token: token, MaxMessage: rpc.MaxJobMessage})
	if err != nil {
		cancel()
		l.t.Fatal(err)
	}
	p := &provisioner{t: l.t, client: provisionerv1.NewProvisionerClient(conn), downs: make(chan *provisionerv1.Down, 100)}
	p.close = func() { cancel(); conn.Close() }
	l.t.Cleanup(p.close)
	if p.stream, err = p.client.Connect(ctx); err != nil {
		l.t.Fatal(err)
	}
	p.up(&provisionerv1.Up{Msg: &provisionerv1.Up_Hello{Hello: hello}})
	go func() {
		defer close(p.downs)
		for {
			d, err := p.stream.Recv()
			if err != nil {
				return
			}
			p.downs <- d
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

// down returns what the coordinator says next; nil if it has hung up.
func (p *provisioner) down() *provisionerv1.Down {
	p.t.Helper()
	select {
	case d := <-p.downs:
		return d
	case <-time.After(timeout):
		p.t.Fatal("the coordinator says nothing")
		return nil
	}
}

// job returns the job that it is handed next.
func (p *provisioner) job() *provisionerv1.Job {
	p.t.Helper()
	d := p.down()
	if d.GetJob() == nil {
		p.t.Fatalf("%v came, want a job", d)
	}
	return d.GetJob()
}

// cancel returns the job that it is to end next.
func (p *provisioner) cancel() *provisionerv1.Cancel {
	p.t.Helper()
	d := p.down()
	if d.GetCancel() == nil {
		p.t.Fatalf("%v came, want a cancel", d)
	}
	return d.GetCancel()
}

func (p *provisioner) planned(ref *provisionerv1.JobRef, agents ...string) error {
	r := &provisionerv1.PlanReport{Job: ref}
	for _, a := range agents {
		r.Agents = append(r.Agents, &provisionerv1.Agent{Name: a, Directory: "/home/" + a})
	}
	_, err := p.client.Planned(p.t.Context(), r)
	return err
}

func (p *provisioner) save(ref *provisionerv1.JobRef, lineage string, serial uint64, data string) (current bool, err error) {
	s, err := p.client.SaveState(p.t.Context())
	if err != nil {
		return false, err
	}
	// What fails here is told by CloseAndRecv.
	_ = s.Send(&provisionerv1.StateChunk{Head: &provisionerv1.StateHead{Job: ref, Lineage: lineage, Serial: serial}})
	_ = s.Send(&provisionerv1.StateChunk{Data: []byte(data)})
	saved, err := s.CloseAndRecv()
	return saved.GetCurrent(), err
}

func (p *provisioner) load(ref *provisionerv1.JobRef) (string, error) {
	s, err := p.client.LoadState(p.t.Context(), ref)
	if err != nil {
		return "", err
	}
	var all []byte
	for {
		c, err := s.Recv()
		if err == io.EOF {
			return string(all), nil
		}
		if err != nil {
			return "", err
		}
		all = append(all, c.GetData()...)
	}
}

// says sends lines of a job's log, from the one numbered first on.
func (p *provisioner) says(ref *provisionerv1.JobRef, first uint64, texts ...string) error {
	l := &provisionerv1.Log{Job: ref, First: first}
	for _, x := range texts {
		l.Lines = append(l.Lines, &provisionerv1.Line{AtMs: 1, Stage: "apply", Text: x})
	}
	_, err := p.client.AddLog(p.t.Context(), l)
	return err
}

func (p *provisioner) finish(ref *provisionerv1.JobRef, status provisionerv1.Result_Status, why string) error {
	_, err := p.client.Finish(p.t.Context(), &provisionerv1.Result{Job: ref, Status: status, Error: why})
	return err
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// packed packs files, given as name and text.
func packed(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for i := 0; i < len(files); i += 2 {
		must(t, w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1])), Typeflag: tar.TypeReg}))
		_, err := w.Write([]byte(files[i+1]))
		must(t, err)
	}
	must(t, w.Close())
	must(t, z.Close())
	return b.Bytes()
}

// template pushes a template, has p import it, and returns its id.
func (l *lab) template(p *provisioner, params ...*provisionerv1.Parameter) uuid.UUID {
	l.t.Helper()
	v, err := l.PushTemplate(l.t.Context(), Push{Template: "process", Archive: packed(l.t, "main.tf", "# nothing"), CreatorID: l.user.ID, Activate: true})
	must(l.t, err)
	j := p.job()
	_, err = p.client.Finish(l.t.Context(), &provisionerv1.Result{Job: j.GetRef(), Template: &provisionerv1.Template{Parameters: params, LockFile: []byte("locked")}})
	must(l.t, err)
	return v.TemplateID
}

// workspace makes a workspace, whose first build is queued.
func (l *lab) workspace(template uuid.UUID, name string) store.Workspace {
	l.t.Helper()
	w, _, err := l.CreateWorkspace(l.t.Context(), Create{OwnerID: l.user.ID, Name: name, TemplateID: template, InitiatorID: l.user.ID})
	must(l.t, err)
	return w
}

func (l *lab) move(w uuid.UUID, t store.Transition) (store.Build, error) {
	return l.Build(l.t.Context(), Move{WorkspaceID: w, Transition: t, InitiatorID: l.user.ID})
}

// phase waits until a workspace is at a phase.
func (l *lab) phase(w uuid.UUID, want store.Phase) {
	l.t.Helper()
	for deadline := time.Now().Add(timeout); ; time.Sleep(5 * time.Millisecond) { // the lab has no event bus
		now, err := l.st.WorkspaceByID(l.t.Context(), w)
		must(l.t, err)
		if now.Phase == want {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("workspace is %s, want %s", now.Phase, want)
		}
	}
}

// CancelBuild asks for the end of a build.
func (l *lab) CancelBuild(ctx context.Context, w uuid.UUID, number int) error {
	b, err := l.BuildByNumber(ctx, w, number)
	if err != nil {
		return err
	}
	return l.CancelJob(ctx, b.Job.ID, false)
}

// eventually polls what nothing announces: the lab has no event bus.
func (l *lab) eventually(what string, is func() bool) {
	l.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); <-tick.C {
		if is() {
			return
		}
	}
	l.t.Fatalf("not within %v: %s", timeout, what)
}

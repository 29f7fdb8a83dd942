package main

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/archive"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// chaosLease is short, so that it takes seconds to be taken for gone. Who is
	// away for chaosAway is: that is looked for each second.
	chaosLease = 3 * time.Second
	chaosAway  = chaosLease + 2*time.Second

	// chaosPeople is how many move workspaces at once, if each has that many
	// builds to make.
	chaosPeople, chaosBuilds = 4, 2

	// chaosPatience bounds a build, with all that is killed meanwhile, and the
	// wait for a state that a killed provisioner had.
	chaosPatience = 2 * time.Minute
)

// TestChaos kills the coordinator, provisioners and Terraform at any moment of
// builds. In the end, after everything was deleted in peace, nothing must be left
// outside, no state must have gone back or another way, and no build must have
// been for ever. CHAOS_SEED and CHAOS_BUILDS say which kills and how many
// builds; "make chaos" makes more of them than a test may take time for.
func TestChaos(t *testing.T) {
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("there is no Terraform: ", err)
	}
	seed, builds := fromEnv(t, "CHAOS_SEED", 13), fromEnv(t, "CHAOS_BUILDS", 8)
	t.Logf("CHAOS_SEED=%d CHAOS_BUILDS=%d", seed, builds)
	all := &tally{counts: make(map[string]int), usual: 1500 * time.Millisecond}
	t.Run("provisioners apart", func(t *testing.T) { newChaos(t, seed, all, false).run(builds - builds/2) })
	t.Run("provisioner built in", func(t *testing.T) { newChaos(t, seed+1, all, true).run(builds / 2) })
	t.Logf("CHAOS_SEED=%d: %v", seed, all)
}

func fromEnv(t *testing.T, name string, otherwise int) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv(name), strconv.Itoa(otherwise)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// chaos is a deployment in which things are killed.
type chaos struct {
	t            *testing.T
	seed         int
	dir, outside string
	client       *sdk.Client
	server       *victim
	runners      []*victim // the provisioners, or the server in which one is built in
	data         []string  // their data directories
	onHost       bool      // workspaces run on the provisioner's host
	left         atomic.Int64
	tally        *tally
}

func newChaos(t *testing.T, seed int, all *tally, builtIn bool) *chaos {
	t.Helper()
	bin, err := buildAdit()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "adit-chaos-")
	if err == nil {
		err = errors.Join(os.Chmod(dir, 0o711), os.Mkdir(filepath.Join(dir, "outside"), 0o700)) // Postgres passes through
	}
	if err != nil {
		t.Fatal(err)
	}
	c := &chaos{t: t, seed: seed, dir: dir, outside: filepath.Join(dir, "outside"), tally: all}
	listen := freeAddr(t)
	c.client = sdk.New(&url.URL{Scheme: "http", Host: listen}, "")
	program := func(name string, args ...string) *victim {
		return &victim{t: t, name: name, log: filepath.Join(dir, name+".log"), make: func() *exec.Cmd {
			cmd := exec.Command(bin, args...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}
			cmd.Dir = dir
			return cmd
		}}
	}
	slots, builtInSlots := strconv.Itoa(chaosPeople), "0"
	if builtIn {
		builtInSlots = slots
	}
	c.server = program("coordinator", "server", "--listen", listen, "--data-dir", filepath.Join(dir, "data"), "--relay=false",
		"--job-lease", chaosLease.String(), "--cancel-grace", "3s", "--provisioners", builtInSlots)
	t.Cleanup(c.clean)
	c.server.begin()
	c.signIn()
	if builtIn {
		c.server.name = "coordinator with its provisioner"
		c.runners, c.data, c.onHost = []*victim{c.server}, []string{filepath.Join(dir, "data", "provisioner")}, true
	} else {
		// Two, so that the next build is another's when one does not return.
		key, err := c.client.CreateProvisionerKey(t.Context(), sdk.CreateProvisionerKey{Name: "chaos"})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"one", "two"} {
			at := filepath.Join(dir, name)
			runner := program("provisioner "+name, "provisioner", "--url", "http://"+listen, "--token", key.Text, "--name", name, "--data-dir", at, "--slots", slots)
			runner.begin()
			c.runners, c.data = append(c.runners, runner), append(c.data, at)
		}
	}
	for version := range 2 {
		if err := c.push(version+1, false); err != nil {
			t.Fatal(err)
		}
		if v := c.imported()[0]; v.Job.Status != "succeeded" {
			t.Fatalf("import: %+v", v.Job)
		}
	}
	return c
}

// freeAddr is an address of the loopback that nobody listens on. It is none that
// the kernel gives to those who dial: one of them would have it when the server
// wants it back.
func freeAddr(t *testing.T) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}
}

// clean ends what is left, whatever happened.
func (c *chaos) clean() {
	for _, v := range append(c.runners, c.server) {
		v.stop()
		if c.t.Failed() {
			c.t.Logf("%s:\n%s", v.name, v.tail())
		}
	}
	for _, p := range carrying(c.dir) {
		_ = syscall.Kill(p.pid, syscall.SIGKILL) // it may be gone
	}
	if err := os.RemoveAll(c.dir); err != nil {
		c.t.Error(err)
	}
}

// signIn makes the first user and gives the client its token.
func (c *chaos) signIn() {
	c.t.Helper()
	login := sdk.Login{Username: "alice", Password: "correct horse"}
	err := c.answered(func() error {
		_, err := c.client.CreateFirstUser(c.t.Context(), sdk.FirstUser{Username: login.Username, Password: login.Password, Email: "alice@example.com"})
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := c.client.Login(c.t.Context(), login)
	if err != nil {
		c.t.Fatal(err)
	}
	c.client = sdk.New(c.client.URL(), s.Token)
}

// answered repeats a request until the coordinator is there to answer it.
func (c *chaos) answered(request func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(chaosPatience); ; <-tick.C {
		err := request()
		if said := new(sdk.Error); err == nil || errors.As(err, &said) && said.Status < 500 || time.Now().After(deadline) {
			return err
		}
	}
}

// push pushes a version of the template.
func (c *chaos) push(version int, inactive bool) error {
	dir := c.t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(c.template(version)), 0o600); err != nil {
		return err
	}
	packed, err := archive.Pack(dir)
	if err != nil {
		return err
	}
	return c.answered(func() error {
		_, err := c.client.PushTemplate(c.t.Context(), "chaos", sdk.PushVersion{Archive: packed, Inactive: inactive})
		return err
	})
}

// imported waits until every version has been looked at.
func (c *chaos) imported() []sdk.TemplateVersion {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		list, err := c.client.TemplateVersions(c.t.Context(), "chaos")
		waits := slices.IndexFunc(list, func(v sdk.TemplateVersion) bool { return !v.Job.Done() })
		switch {
		case err == nil && waits < 0:
			return list
		case time.Now().After(deadline):
			c.fault(stuckJobs, "imports: %+v, %v", list, err)
			return list
		}
	}
}

// run makes builds, and then peace.
func (c *chaos) run(builds int) {
	c.left.Store(int64(builds))
	people := make([]*person, max(1, min(chaosPeople, builds/chaosBuilds)))
	var all sync.WaitGroup
	for i := range people {
		people[i] = &person{chaos: c, n: i, dice: rand.New(rand.NewPCG(uint64(c.seed), uint64(i)))}
		all.Go(people[i].live)
	}
	all.Wait()
	for _, p := range people {
		all.Go(p.leave)
	}
	all.Wait()
	imports := c.imported()
	for _, v := range imports[:len(imports)-2] { // without those at the start
		c.tally.add("imports " + v.Job.Status)
	}
	c.nothingIsLeft()
}

// nothingIsLeft looks at what must be there no longer.
func (c *chaos) nothingIsLeft() {
	if list, err := c.client.Workspaces(c.t.Context(), "all"); err != nil || len(list) > 0 {
		c.t.Errorf("workspaces are left: %+v, %v", list, err)
	}
	list, err := c.client.Provisioners(c.t.Context())
	if err != nil {
		c.t.Error(err)
	}
	for _, p := range list {
		if p.Running > 0 {
			c.fault(stuckJobs, "provisioner %s still has %d", p.Name, p.Running)
		}
	}
	for _, v := range append(c.runners, c.server) {
		v.stop()
	}
	c.none(orphans, c.outside)
	for _, data := range c.data {
		if _, err := os.Stat(filepath.Join(data, "jobs")); err != nil {
			c.t.Error(err)
		}
		c.none(orphans, filepath.Join(data, "workspaces"))
		c.none(stuckJobs, filepath.Join(data, "jobs"))
		c.none(lostStates, filepath.Join(data, "refused"))
	}
	if left := carrying(c.dir); len(left) > 0 {
		c.fault(orphans, "processes are left: %v", left)
	}
	log, err := os.ReadFile(c.server.log)
	if err != nil || strings.Contains(string(log), "put aside") {
		c.fault(lostStates, "the coordinator put one aside, %v", err)
	}
}

// none looks at a directory that must be empty, or not be there.
func (c *chaos) none(fault, dir string) {
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		c.fault(fault, "there are %v, %v", left, err)
	}
}

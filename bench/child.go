package bench

import (
	"context"
	"encoding/json"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aditmesh/adit/bench/role"
	"github.com/aditmesh/adit/pkg/netlab"
)

// patience bounds every wait for something that takes a fraction of it.
const patience = 60 * time.Second

// child is a program that plays a role on a host of the lab.
type child struct {
	t    testing.TB
	name string
	pid  int
	in   *json.Encoder
	out  *json.Decoder
	kill func()
	mu   sync.Mutex // held from request to reply
}

// startChild starts a program in a role. It ends with the test.
func startChild(t testing.TB, h *netlab.Host, bin, name string, conf role.Config) *child {
	t.Helper()
	cmd := h.Command(context.Background(), bin, name)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(cmd); err != nil {
		t.Fatalf("start %s on %s: %v", name, h.Name(), err)
	}
	t.Cleanup(func() {
		in.Close() // which ends it
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_ = cmd.Wait() // what it had to say went to standard error
	})
	c := &child{t: t, name: name + " on " + h.Name(), pid: cmd.Process.Pid, kill: func() { _ = cmd.Process.Kill() }, in: json.NewEncoder(in), out: json.NewDecoder(out)}
	if err := c.in.Encode(conf); err != nil {
		t.Fatalf("configure %s: %v", c.name, err)
	}
	return c
}

// read reads the next thing that the child says.
func (c *child) read(into any) {
	c.t.Helper()
	read := make(chan error, 1)
	go func() { read <- c.out.Decode(into) }()
	select {
	case err := <-read:
		if err != nil {
			c.t.Fatalf("%s: %v", c.name, err)
		}
	case <-time.After(patience):
		c.t.Fatalf("%s: silent for %v", c.name, patience)
	}
}

// ready waits until the child has begun.
func (c *child) ready() role.Ready {
	c.t.Helper()
	var r role.Ready
	c.read(&r)
	return r
}

// ask has the child do something and waits for what came of it.
func (c *child) ask(r role.Request) role.Reply {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.in.Encode(r); err != nil {
		c.t.Fatalf("%s: %s: %v", c.name, r.Do, err)
	}
	var got role.Reply
	c.read(&got)
	if got.Error != "" {
		c.t.Fatalf("%s: %s: %s", c.name, r.Do, got.Error)
	}
	return got
}

package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
)

// roleVariable is the environment variable that makes the program play a role
// in place of measuring.
const roleVariable = "ADIT_BENCH_ROLE"

// patience bounds every wait for something that takes a fraction of it.
const patience = 60 * time.Second

// roles are what this program can be started again as. Each reads its
// configuration from the first line of in, and says on out that it is ready
// before it answers requests.
func roles() map[string]func(ctx context.Context, in *json.Decoder, out *replies) error {
	return map[string]func(ctx context.Context, in *json.Decoder, out *replies) error{
		"kernel":    runKernel,
		"wireguard": runWireGuard,
		"adit":      runAdit,
	}
}

// playRole plays the role that the environment names, if any. A role ends with
// its standard input.
func playRole() (played bool, err error) {
	name := os.Getenv(roleVariable)
	if name == "" {
		return false, nil
	}
	role := roles()[name]
	if role == nil {
		return true, fmt.Errorf("no role %q", name)
	}
	err = role(context.Background(), json.NewDecoder(bufio.NewReader(os.Stdin)), &replies{enc: json.NewEncoder(os.Stdout)})
	if err == io.EOF {
		err = nil
	}
	return true, err
}

// replies are what a role says to who started it.
type replies struct {
	mu  sync.Mutex
	enc *json.Encoder // guarded by mu
}

func (r *replies) send(v any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.enc.Encode(v)
}

// child is this program in a role, on a host of the lab.
type child struct {
	t   testing.TB
	pid int
	in  *json.Encoder
	out *json.Decoder
	mu  sync.Mutex // held from request to reply
}

// startChild starts a role and waits until it is ready. It ends with the test.
func startChild(t testing.TB, h *netlab.Host, role string, config any) *child {
	t.Helper()
	cmd := h.Command(context.Background(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
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
		t.Fatalf("start %s on %s: %v", role, h.Name(), err)
	}
	t.Cleanup(func() {
		in.Close()
		kill := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_ = cmd.Wait() // what it had to say went to standard error
	})
	c := &child{t: t, pid: cmd.Process.Pid, in: json.NewEncoder(in), out: json.NewDecoder(out)}
	if err := c.in.Encode(config); err != nil {
		t.Fatalf("configure %s on %s: %v", role, h.Name(), err)
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
			c.t.Fatalf("child %d: %v", c.pid, err)
		}
	case <-time.After(patience):
		c.t.Fatalf("child %d: silent for %v", c.pid, patience)
	}
}

// request is something for a role to do; see serveRequests.
type request struct {
	Do       string        `json:"do"`
	To       string        `json:"to,omitempty"`
	Streams  int           `json:"streams,omitempty"`
	Rate     int           `json:"rate,omitempty"`
	Session  uint64        `json:"session,omitempty"`
	Count    int           `json:"count,omitempty"`
	Interval time.Duration `json:"interval,omitempty"`
	Lasts    time.Duration `json:"lasts,omitempty"`
}

// reply is what came of it.
type reply struct {
	Error   string          `json:"error,omitempty"`
	Bytes   int64           `json:"bytes,omitempty"`
	Packets int64           `json:"packets,omitempty"`
	Seconds float64         `json:"seconds,omitempty"`
	RTTs    []time.Duration `json:"rtts,omitempty"`
	Path    string          `json:"path,omitempty"`
	MTU     int             `json:"mtu,omitempty"`
}

// ask has the child do something and waits for what came of it.
func (c *child) ask(r request) reply {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.in.Encode(r); err != nil {
		c.t.Fatalf("child %d: %s: %v", c.pid, r.Do, err)
	}
	var got reply
	c.read(&got)
	if got.Error != "" {
		c.t.Fatalf("child %d: %s: %s", c.pid, r.Do, got.Error)
	}
	return got
}

// Package role is how the programs at the ends of a tunnel are told what to do,
// and the traffic that they make.
//
// A program plays the role that its only argument names. It reads a
// configuration from its standard input, says [Ready] on its standard output,
// and then answers each [Request] with a [Reply], all in JSON, until its input
// ends.
package role

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"time"
)

// Config is what any role may need to know; which fields, it says itself.
type Config struct {
	// WireGuard's: keys, and where the other end is.
	Private, PeerPublic [32]byte
	Endpoint            netip.AddrPort
	Addr, PeerAddr      netip.Addr

	// URL is the coordinator, or Tailscale's kind of it.
	URL string
	// Token is ours, and RootCA in PEM verifies the coordinator and its relay.
	Token  string
	RootCA []byte
	// TUN has a node of ours use an interface, in place of a stack in the process.
	TUN bool
	// Peer is the id of the node to link to; empty waits to be linked to.
	Peer string
	// RelayOnly has a node of ours use no direct path.
	RelayOnly bool
	// Events has a node of ours tell what becomes of its path, as it happens, in
	// place of answering requests.
	Events bool

	// Dir is a directory for whatever the role keeps, and Name its host's name.
	Dir, Name string
	// Listen and Relay are where Tailscale's control server is, and a relay.
	Listen, Relay netip.AddrPort
	// UDPPort is where that relay carries datagrams, for clients that want no more of
	// it; zero is over DERP. It is asked for it by UDPKey and UDPDisco.
	UDPPort          uint16
	UDPKey, UDPDisco [32]byte
}

// Ready says that a role has begun.
type Ready struct {
	Addr string `json:"addr,omitempty"` // in the tunnel
	ID   string `json:"id,omitempty"`
}

// Request is something to do; see [Traffic].
type Request struct {
	Do       string        `json:"do"`
	To       string        `json:"to,omitempty"`
	Streams  int           `json:"streams,omitempty"`
	Rate     int           `json:"rate,omitempty"`
	Session  uint64        `json:"session,omitempty"`
	Size     int           `json:"size,omitempty"`
	Count    int           `json:"count,omitempty"`
	Interval time.Duration `json:"interval,omitempty"`
	Lasts    time.Duration `json:"lasts,omitempty"`
}

// Reply is what came of it.
type Reply struct {
	Error   string          `json:"error,omitempty"`
	Bytes   int64           `json:"bytes,omitempty"`
	Packets int64           `json:"packets,omitempty"`
	Sent    int64           `json:"sent,omitempty"`
	Seconds float64         `json:"seconds,omitempty"`
	RTTs    []time.Duration `json:"rtts,omitempty"`
	Path    string          `json:"path,omitempty"`
	MTU     int             `json:"mtu,omitempty"`
}

// Event is something that happened to a node's path: "known", when it learned of
// its peer, "direct", when it first sent directly, and "echo", when the first
// came back.
type Event struct {
	What string    `json:"what"`
	At   time.Time `json:"at"`
}

// Player plays a role until its context or its input ends.
type Player func(ctx context.Context, conf Config, say *Voice) error

// Voice is both ways of speaking with whoever started the program.
type Voice struct {
	in  *json.Decoder
	mu  sync.Mutex
	out *json.Encoder // guarded by mu
}

// Say writes Ready, Reply or Event.
func (v *Voice) Say(what any) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.out.Encode(what)
}

// Listen waits for a request. Its error at the end is io.EOF.
func (v *Voice) Listen() (r Request, err error) {
	err = v.in.Decode(&r)
	return r, err
}

// Play plays the role that the program's argument names and returns its exit
// code. The environment may name a directory for a CPU profile by
// BENCH_PROFILES.
func Play(players map[string]Player) int {
	if len(os.Args) != 2 || players[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: a role, and its configuration on standard input")
		return 2
	}
	name := os.Args[1]
	stop, err := profile(name)
	if err == nil {
		err = play(players[name])
		stop()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

func play(p Player) error {
	v := &Voice{in: json.NewDecoder(bufio.NewReader(os.Stdin)), out: json.NewEncoder(os.Stdout)}
	var conf Config
	if err := v.in.Decode(&conf); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if err := p(context.Background(), conf, v); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func profile(name string) (stop func(), err error) {
	dir := os.Getenv("BENCH_PROFILES")
	if dir == "" {
		return func() {}, nil
	}
	f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%s-%d.cpu", name, os.Getpid())))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}

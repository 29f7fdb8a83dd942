package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/pkg/postgres"
	"github.com/aditmesh/adit/pkg/sdk"
)

// The walking skeleton: everything a person does, through two home routers.
func TestThroughTwoEasyNATs(t *testing.T) {
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted)
	wire := d.home.Capture()

	t.Run("ping ends direct", func(t *testing.T) {
		out, err := d.adit("ping", "dev", "--until-direct", "-o", "json")
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		var last pingLine
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Path.Kind != "direct" {
			t.Errorf("the last of %d lines: %s (%v)", len(lines), lines[len(lines)-1], err)
		}
		if want := d.office.Addr().String() + ":"; !strings.HasPrefix(last.Path.Addr, want) {
			t.Errorf("direct to %s, want the office's router %s", last.Path.Addr, want)
		}
	})
	t.Run("ssh returns output and exit code", func(t *testing.T) {
		out, err := d.adit("ssh", "dev", "--", "echo out; echo err >&2; exit 7")
		var exit *exec.ExitError
		if !asExit(err, &exit) || exit.ExitCode() != 7 || out != "out\n" || !strings.Contains(err.Error(), "err") {
			t.Errorf("got %q, %v", out, err)
		}
	})
	t.Run("first byte within a second", func(t *testing.T) {
		start := time.Now()
		if _, err := d.adit("ssh", "dev", "--", "true"); err != nil {
			t.Fatal(err)
		}
		took := time.Since(start)
		t.Logf("adit ssh dev -- true: %v", took.Round(time.Millisecond))
		if took > time.Second {
			t.Errorf("took %v", took)
		}
	})
	t.Run("OpenSSH and scp through ProxyCommand", func(t *testing.T) { openSSH(t, d) })
	t.Run("port-forward", func(t *testing.T) { portForwarding(t, d) })
	t.Run("port-forward of datagrams and unix sockets, both ways", func(t *testing.T) { everyForward(t, d) })
	t.Run("status", func(t *testing.T) {
		var s statusReport
		d.json(&s, "status", "-o", "json")
		if len(s.Peers) != 1 || s.Peers[0].Path.Kind != "direct" || s.Peers[0].Verdict != nil ||
			s.Peers[0].LastHandshake == nil || s.Self.NAT != "easy" || len(s.Relays) != 1 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("stats", func(t *testing.T) { agentStats(t, d) })
	t.Run("nothing else on the wire", func(t *testing.T) { onlyKnownProtocols(t, d, wire.Stop()) })
	t.Run("bad input", func(t *testing.T) { badInput(t, d) })
}

func asExit(err error, exit **exec.ExitError) bool {
	e, ok := err.(interface{ Unwrap() []error })
	if ok && len(e.Unwrap()) > 0 {
		err = e.Unwrap()[0]
	}
	*exit, ok = err.(*exec.ExitError)
	return ok
}

// openSSHArgs make OpenSSH go through the mesh and keep nothing.
func openSSHArgs() []string {
	return []string{
		"-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "LogLevel=ERROR", "-o", "ProxyCommand=adit ssh --stdio %h",
	}
}

func openSSH(t *testing.T, d *deployment) {
	out, err := d.output(d.laptop, d.program(d.laptop, "ssh", append(openSSHArgs(), "dev.adit", "cat /etc/hostname; exit 3")...))
	var exit *exec.ExitError
	if !asExit(err, &exit) || exit.ExitCode() != 3 || out == "" {
		t.Fatalf("ssh: %q, %v", out, err)
	}
	data := make([]byte, 32<<20)
	rand.Read(data)
	src, dst := filepath.Join(d.dir, "src"), filepath.Join(d.dir, "dst")
	if err := os.WriteFile(src, data, 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if out, err := d.output(d.laptop, d.program(d.laptop, "scp", append(openSSHArgs(), src, "dev:"+dst)...)); err != nil {
		t.Fatalf("scp: %s %v", out, err)
	}
	t.Logf("scp of 32 MiB: %v", time.Since(start).Round(time.Millisecond))
	got, err := os.ReadFile(dst)
	if err != nil || sha256.Sum256(got) != sha256.Sum256(data) {
		t.Errorf("32 MiB arrived changed (%v)", err)
	}
}

func portForwarding(t *testing.T, d *deployment) {
	var web net.Listener
	if err := d.devbox.Do(func() (err error) {
		web, err = net.Listen("tcp", "127.0.0.1:8000")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer web.Close()
	go func() {
		for {
			conn, err := web.Accept()
			if err != nil {
				return
			}
			data, _ := io.ReadAll(conn) // until the half-close
			conn.Write(bytes.ToUpper(data))
			conn.Close()
		}
	}()
	p := d.start(d.laptop, "port-forward.log", "port-forward", "dev", "9000:8000", "--tcp", "9001:81")
	p.waitFor("Forwarding 127.0.0.1:9001 to port 81 of dev")
	ask := func(port string) (string, error) {
		var got []byte
		err := d.laptop.Do(func() error {
			conn, err := net.Dial("tcp", "127.0.0.1:"+port)
			if err != nil {
				return err
			}
			defer conn.Close()
			io.WriteString(conn, "shout")
			conn.(*net.TCPConn).CloseWrite()
			got, err = io.ReadAll(conn)
			return err
		})
		return string(got), err
	}
	if got, err := ask("9000"); err != nil || got != "SHOUT" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := ask("9001"); got != "" {
		t.Errorf("a closed port answered %q, %v", got, err)
	}
	p.waitFor("connection refused by the workspace")
	if _, err := d.adit("port-forward", "dev", "--tcp", "9000:8000"); err == nil || !strings.Contains(err.Error(), "9000") {
		t.Errorf("a taken port: %v", err)
	}
	p.cmd.Process.Signal(os.Interrupt)
	if err := p.wait(); err != nil {
		t.Errorf("port-forward ended with %v after an interrupt", err)
	}
}

// onlyKnownProtocols checks what went through the laptop's router: WireGuard,
// disco and STUN over UDP, by a relay or not, and TCP to the coordinator alone. The router itself is
// asked for a port of its own, which concerns nobody outside.
func onlyKnownProtocols(t *testing.T, d *deployment, flows map[netlab.Flow]netlab.Seen) {
	kinds := map[string]int{}
	for f, seen := range flows {
		if !f.UDP {
			if f.Src.Addr() != d.server.Addr() && f.Dst.Addr() != d.server.Addr() {
				t.Errorf("TCP from %v to %v", f.Src, f.Dst)
			}
			continue
		}
		for _, s := range seen.Samples {
			switch {
			case isAskingForAPort(f.Dst):
				kinds["port mapping"]++
			case len(s) >= 4 && s[0] >= 1 && s[0] <= 4 && s[1] == 0 && s[2] == 0 && s[3] == 0:
				kinds["WireGuard"]++
			case bytes.HasPrefix(s, []byte("TS\xf0\x9f\x92\xac")):
				kinds["disco"]++
			case len(s) >= 8 && string(s[4:8]) == "\x21\x12\xa4\x42":
				kinds["STUN"]++
			case len(s) >= 8 && s[0] == 0 && s[2] == 0x7a && (s[3] == 0x11 || s[3] == 0x12): // disco and WireGuard
				kinds["UDP relay"]++
			default:
				t.Errorf("UDP from %v to %v: %x", f.Src, f.Dst, s)
			}
		}
		if bytes.Contains(bytes.Join(seen.Samples, nil), []byte("SSH-2.0")) {
			t.Errorf("plaintext from %v to %v", f.Src, f.Dst)
		}
	}
	for _, k := range []string{"WireGuard", "disco", "STUN"} {
		if kinds[k] == 0 {
			t.Errorf("no %s was seen: %v", k, kinds)
		}
	}
}

// isAskingForAPort reports whether to is where a host behind the first router asks
// for a port: its NAT-PMP, or whoever speaks UPnP there.
func isAskingForAPort(to netip.AddrPort) bool {
	const pmp, ssdp = 5351, 1900
	router := to.Addr() == netip.MustParseAddr("192.168.1.1")
	return router && to.Port() == pmp || (router || to.Addr() == netip.MustParseAddr("239.255.255.250")) && to.Port() == ssdp
}

func badInput(t *testing.T, d *deployment) {
	session := d.start(d.laptop, "session.log", "ssh", "dev", "--", "cat")
	session.echo("before")
	for name, args := range map[string][]string{
		"unknown workspace": {"ssh", "nosuch", "--", "true"},
		"bad name":          {"ssh", "no/such/thing", "--", "true"},
		"wrong token":       {"--token", "adit_00000000000000000000000000000000_x", "--url", d.url(), "list"},
		"nobody listens":    {"--token", "x", "--url", "http://" + d.server.Addr().String() + ":1", "list"},
	} {
		out, err := d.adit(args...)
		if err == nil || out != "" || strings.Count(err.Error(), "\n") > 3 {
			t.Errorf("%s: %q, %v, want one line of error", name, out, err)
		}
	}
	if _, err := d.output(d.devbox, d.command(d.devbox, "agent", "--url", d.url(), "--token", "adit_agent_00000000000000000000000000000000_x")); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("agent with a wrong token: %v", err)
	}

	// Garbage at every door.
	if err := d.laptop.Do(func() error { return shout(d) }); err != nil {
		t.Error(err)
	}

	// A second agent with the token wins, and the first is told why.
	second := d.start(d.devbox, "second-agent.log", "agent", "--url", d.url(), "--token", d.agentToken)
	second.waitFor("agent ready")
	d.agentProc.waitFor("another agent connected with this token")
	if err := d.agentProc.wait(); err == nil {
		t.Error("the replaced agent ended as if all was well")
	}
	d.agentProc = second
	if out, err := d.adit("ssh", "dev", "--", "echo second"); err != nil || out != "second\n" {
		t.Errorf("ssh to the second agent: %q, %v", out, err)
	}

	// A deleted workspace takes its agent's access along.
	if _, err := d.adit("delete", "-y", "dev"); err != nil {
		t.Fatal(err)
	}
	second.waitFor("workspace was deleted")
	if _, err := d.adit("ssh", "dev", "--", "true"); err == nil {
		t.Error("ssh to a deleted workspace worked")
	}
}

// shout sends garbage to the coordinator's TCP port and to all UDP ports of
// the mesh that the laptop can reach.
func shout(d *deployment) error {
	noise := make([]byte, 1200)
	rand.Read(noise)
	udp, err := net.ListenPacket("udp4", ":0")
	if err != nil {
		return err
	}
	defer udp.Close()
	for _, port := range []int{3478, 3479} {
		for _, size := range []int{0, 1, 20, 32, 148, 1200} {
			if _, err := udp.WriteTo(noise[:size], &net.UDPAddr{IP: d.server.Addr().AsSlice(), Port: port}); err != nil {
				return err
			}
		}
	}
	for _, hello := range [][]byte{noise, []byte("GET /derp HTTP/1.1\r\nUpgrade: DERP\r\nConnection: Upgrade\r\nHost: x\r\n\r\n" + string(noise)),
		[]byte("SSH-2.0-x\r\n"), []byte("\x16\x03\x01\x02\x00\x01")} {
		conn, err := net.Dial("tcp", d.server.Addr().String()+":7080")
		if err != nil {
			return err
		}
		conn.Write(hello)
		conn.Close()
	}
	return nil
}

// agentStats runs a command that types, and finds it in what the agent reports when it
// ends, and in when the workspace was last used.
func agentStats(t *testing.T, d *deployment) {
	var before sdk.Workspace
	d.json(&before, "show", "dev", "-o", "json")
	cmd := d.command(d.laptop, "ssh", "dev", "--", "cat >/dev/null")
	cmd.Stdin = strings.NewReader("typed\n")
	if out, err := d.output(d.laptop, cmd); err != nil {
		t.Fatalf("%s %v", out, err)
	}
	d.agentProc.cmd.Process.Signal(syscall.SIGTERM)
	if err := d.agentProc.wait(); err != nil {
		t.Fatal(err)
	}
	d.eventually("the agent's last report", func() bool {
		var w struct {
			sdk.Workspace
			Stats []sdk.Stats `json:"stats"`
		}
		d.json(&w, "show", "dev", "-o", "json")
		if len(w.Stats) == 0 || w.LastActiveAt == nil {
			return false
		}
		s := w.Stats[0]
		return s.Sessions.SSH > 0 && s.RxBytes > 0 && s.TxBytes > 0 && s.ActiveSeconds > 0 && s.MemoryLimit > 0 && s.DiskLimit > 0
	})
	if out := d.must("stats", "dev"); !strings.Contains(out, "LATENCY") || !strings.Contains(out, "main") {
		t.Error(out)
	}
	d.startAgent()
	d.agentIs("connected")
}

func TestUDPBlockedOnOneSideWorksOverTheRelay(t *testing.T) {
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted)
	d.home.Fault(netlab.BlockUDP())
	out, err := d.adit("ping", "dev", "--until-direct", "--timeout", "6s", "-o", "json")
	var last pingLine
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if jsonErr := json.Unmarshal([]byte(lines[len(lines)-1]), &last); jsonErr != nil {
		t.Fatalf("%v: %s", jsonErr, out)
	}
	if err == nil || last.Path.Kind != "derp" || last.Verdict == nil || last.Verdict.Code != "udp-blocked" {
		t.Errorf("%v; the last line: %s", err, lines[len(lines)-1])
	}
	if out, err := d.adit("ssh", "dev", "--", "echo over the relay"); err != nil || out != "over the relay\n" {
		t.Errorf("ssh: %q, %v", out, err)
	}
	var s statusReport
	d.json(&s, "status", "-o", "json")
	if s.Peers[0].Verdict == nil || s.Peers[0].Verdict.Code != "udp-blocked" {
		t.Errorf("status: %+v", s.Peers[0])
	}
}

// An open session and a running transfer notice neither the fall to the relay
// nor the return.
func TestUDPBlockedInTheMiddle(t *testing.T) {
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted)
	session := d.start(d.laptop, "session.log", "ssh", "dev", "--", "cat")
	ping := d.start(d.laptop, "ping.log", "ping", "dev", "-i", "50ms", "-o", "json")
	ping.pingedVia("direct")
	session.echo("direct")

	const size = 1 << 30 // more than can pass before the fault
	sum := sha256.New()
	sent := make(chan error, 1)
	stop := make(chan struct{})
	transfer := d.command(d.laptop, "ssh", "dev", "--", "sha256sum")
	stdin, err := transfer.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	transfer.Stdout = &got
	if err := d.laptop.Start(transfer); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer stdin.Close()
		block := make([]byte, 64<<10)
		for n := 0; n < size; n += len(block) {
			select {
			case <-stop:
				sent <- nil
				return
			default:
			}
			rand.Read(block)
			sum.Write(block)
			if _, err := stdin.Write(block); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()

	heal := d.home.Fault(netlab.BlockUDP())
	ping.pingedVia("derp")
	session.echo("over the relay")
	heal()
	ping.pingedVia("direct")
	session.echo("direct again")
	close(stop)
	if err := <-sent; err != nil {
		t.Fatalf("transfer: %v", err)
	}
	if err := transfer.Wait(); err != nil {
		t.Fatalf("transfer: %v", err)
	}
	if want := fmt.Sprintf("%x", sum.Sum(nil)); !strings.HasPrefix(got.String(), want) {
		t.Errorf("the transfer arrived as %s, want %s", got.String(), want)
	}
}

func TestCoordinatorKilledMidSession(t *testing.T) {
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted)
	before := d.agentIs("connected")
	session := d.start(d.laptop, "session.log", "ssh", "dev", "--", "cat")
	ping := d.start(d.laptop, "ping.log", "ping", "dev", "-i", "50ms", "-o", "json")
	ping.pingedVia("direct")
	session.echo("before")

	d.serverProc.kill()
	session.echo("without a coordinator")
	restarted := time.Now()
	d.startServer()
	d.agentProc.waitFor("joined the mesh")
	if took := time.Since(restarted); took > 10*time.Second {
		t.Errorf("the agent was back %v after the coordinator's restart", took)
	}
	session.echo("after its restart")
	after := d.agentIs("connected")
	if after.ID != before.ID || after.Address != before.Address || !after.FirstConnectedAt.Equal(*before.FirstConnectedAt) {
		t.Errorf("the agent was %+v and is %+v", before, after)
	}
	if out, err := d.adit("ssh", "dev", "--", "echo new"); err != nil || out != "new\n" {
		t.Errorf("a new session: %q, %v", out, err)
	}
}

func TestPostgresStoppedForTwentySeconds(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 20 s")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs the network lab, which needs root")
	}
	dir, err := os.MkdirTemp("", "adit-e2e-pg-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	conf := postgres.Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)}
	db, err := postgres.Start(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { db.Close() }()
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted, "--postgres-url", db.URL())
	session := d.start(d.laptop, "session.log", "ssh", "dev", "--", "cat")
	session.echo("before")
	before := d.agentIs("connected")

	db.Close()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		session.echo(time.Until(end).String())
		<-time.After(time.Second) // the length of the outage is what is tested
	}
	if _, err := d.adit("list"); err == nil || !strings.Contains(err.Error(), "try again") {
		t.Errorf("list without a database: %v", err)
	}
	if db, err = postgres.Start(t.Context(), conf); err != nil {
		t.Fatal(err)
	}
	d.eventually("liveness goes on", func() bool {
		a, err := d.agent()
		return err == nil && a.State == "connected" && a.LastConnectedAt.After(before.LastConnectedAt.Add(20*time.Second))
	})
	session.echo("after")
	select {
	case line := <-d.agentProc.lines:
		if strings.Contains(line, "control session ended") {
			t.Errorf("the agent's control session broke: %s", line)
		}
	default:
	}
}

func TestAgentStates(t *testing.T) {
	d := deploy(t, netlab.NoNAT, netlab.NoNAT, "--node-ping", "1s", "--node-timeout", "3s")
	first := d.agentIs("connected")
	if first.FirstConnectedAt == nil || first.LastConnectedAt == nil || first.DisconnectedAt != nil {
		t.Errorf("connected: %+v", first)
	}
	d.agentProc.cmd.Process.Signal(syscall.SIGTERM)
	if err := d.agentProc.wait(); err != nil {
		t.Errorf("agent ended with %v after SIGTERM", err)
	}
	if a := d.agentIs("disconnected"); a.DisconnectedAt == nil || !a.FirstConnectedAt.Equal(*first.FirstConnectedAt) {
		t.Errorf("disconnected: %+v", a)
	}
	d.startAgent()
	d.devbox.Unplug() // no goodbye, and no broken connection either
	if a := d.agentIs("timeout"); a.DisconnectedAt == nil {
		t.Errorf("timeout: %+v", a)
	}
	d.devbox.Plug()
	d.agentIs("connected")
}

func TestServerSaysWhyItCannotStart(t *testing.T) {
	bin, err := buildAdit()
	if err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		env  []string
		want string
	}{
		"port taken":           {args: []string{"--listen", taken.Addr().String()}, want: "taken"},
		"data directory":       {args: []string{"--data-dir", file + "/sub"}, want: "--data-dir"},
		"Postgres unreachable": {args: []string{"--postgres-url", "postgres://x@127.0.0.1:1/x"}, want: "Postgres"},
		"half a certificate":   {args: []string{"--tls-cert", file}, want: "--tls-key"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			args := append([]string{"server", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir(), "--relay=false"}, tt.args...)
			out, err := exec.CommandContext(ctx, bin, args...).CombinedOutput()
			text := strings.TrimSpace(string(out))
			if err == nil || !strings.Contains(text, tt.want) || !strings.HasPrefix(text, "adit server: ") {
				t.Errorf("%v: %s", err, text)
			}
			if n := strings.Count(text, "\n"); n > 1 {
				t.Errorf("%d lines: %s", n+1, text)
			}
		})
	}
}

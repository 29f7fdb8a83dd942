package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/tunnel/daemon"
	"github.com/aditmesh/adit/tunnel/names"
)

// vpn is a deployment whose laptop is on the mesh by an interface, with a resolver's
// configuration of its own.
type vpn struct {
	*deployment
	resolvConf string
	up         *program
	joined     int // of nodes, as far as the server's log was read
}

// deployVPN starts everything but the daemon.
func deployVPN(t *testing.T) *vpn {
	t.Helper()
	return vpnOf(t, deploy(t, netlab.PortRestricted, netlab.PortRestricted))
}

// vpnOf is a deployment that runs.
func vpnOf(t *testing.T, d *deployment) *vpn {
	t.Helper()
	v := &vpn{deployment: d}
	v.resolvConf = filepath.Join(v.dir, "resolv.conf")
	if err := os.WriteFile(v.resolvConf, []byte("# by hand\nnameserver "+v.server.Addr().String()+"\noptions timeout:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return v
}

// inside makes a program of the laptop's see its configuration.
func (v *vpn) inside(program string, args ...string) (string, []string) {
	const script = `mount --bind "$0" /etc/resolv.conf && exec "$@"`
	return "unshare", append([]string{"-m", "sh", "-c", script, v.resolvConf, program}, args...)
}

// run runs an unmodified program on the laptop.
func (v *vpn) run(program string, args ...string) (string, error) {
	program, args = v.inside(program, args...)
	cmd := v.program(v.laptop, program, args...)
	cmd.Env = append(cmd.Env, daemon.SocketEnv+"="+v.socket())
	return v.output(v.laptop, cmd)
}

func (v *vpn) must(program string, args ...string) string {
	v.t.Helper()
	out, err := v.run(program, args...)
	if err != nil {
		v.t.Fatalf("%s %s: %s %v", program, strings.Join(args, " "), out, err)
	}
	return out
}

// in is the deployment for a subtest, which fails for it.
func (v *vpn) in(t *testing.T) *vpn {
	sub := *v
	sub.deployment = v.deployment.in(t)
	return &sub
}

func (v *vpn) socket() string { return filepath.Join(v.dir, "up.sock") }

// start starts the daemon and waits until it is up.
func (v *vpn) start(args ...string) {
	v.t.Helper()
	program, argv := v.inside(v.bin, append([]string{"up", "--socket", v.socket(), "-v"}, args...)...)
	cmd := v.laptop.Command(context.Background(), program, argv...)
	cmd.Env, cmd.Dir = v.env(), v.dir
	v.up = v.deployment.run(v.laptop, "up.log", cmd)
	v.up.waitFor("adit is up")
}

// status is what the daemon tells of itself.
func (v *vpn) status() daemon.Status {
	v.t.Helper()
	s, err := daemon.NewClient(v.socket()).Status(v.t.Context())
	if err != nil {
		v.t.Fatal(err)
	}
	return s
}

// footprint is all of the laptop's network that a daemon could leave something in.
func (v *vpn) footprint() string {
	v.t.Helper()
	var all strings.Builder
	for _, c := range [][]string{
		{"ip", "-d", "addr"}, {"ip", "-d", "route", "show", "table", "all"}, {"ip", "-d", "-6", "route", "show", "table", "all"},
		{"ip", "-d", "rule"}, {"ip", "-d", "-6", "rule"}, {"nft", "list", "ruleset"}, {"cat", "/etc/resolv.conf"}, {"stat", "-c", "%A %u %g %s", v.resolvConf},
	} {
		all.WriteString(strings.Join(c, " ") + ":\n" + v.must(c[0], c[1:]...))
	}
	return all.String()
}

// web serves HTTP on the devbox's localhost.
func (v *vpn) web(port string) {
	v.t.Helper()
	var l net.Listener
	if err := v.devbox.Do(func() (err error) {
		l, err = net.Listen("tcp", "127.0.0.1:"+port)
		return err
	}); err != nil {
		v.t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "served to "+r.Host) })}
	go server.Serve(l)
	v.t.Cleanup(func() { server.Close() })
}

// provider answers for names of the internet on the server.
func (v *vpn) provider() {
	v.t.Helper()
	var table names.Table
	table.Set("", []names.Host{{Agent: "www", Workspace: "some", Owner: "site", Addr: netip.MustParseAddr("2001:db8::80")}})
	s, err := names.New(names.Config{Suffix: "example", Table: &table, Owns: func(netip.Addr) bool { return false }})
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(s.Close)
	if err := v.server.Do(func() error { return s.Listen(netip.AddrPortFrom(v.server.Addr(), 53)) }); err != nil {
		v.t.Fatal(err)
	}
}

// Programs that know nothing of adit reach a workspace by its name, through the
// routers of two homes, and nothing is left of it afterwards.
func TestUpBringsWorkspacesOntoTheNetworkByName(t *testing.T) {
	v := deployVPN(t)
	v.provider()
	v.web("8080")
	before := v.footprint()
	v.start()
	address := v.agentIs("connected").Address.String()

	t.Run("names", func(t *testing.T) {
		v := v.in(t)
		for _, tt := range []struct{ args, want string }{
			{"+short dev.adit AAAA", address + "\n"},
			{"+short DEV.Alice.adit AAAA", address + "\n"},
			{"+short main.dev.alice.adit AAAA", address + "\n"},
			{"+short +tcp dev.adit AAAA", address + "\n"},
			{"+short dev.adit TXT", ""},
			{"+short -x " + address, "main.dev.alice.adit.\n"},
			{"+short www.some.site.example AAAA", "2001:db8::80\n"},
			{"+short +tcp www.some.site.example AAAA", "2001:db8::80\n"},
		} {
			if got := v.must("dig", strings.Fields(tt.args)...); got != tt.want {
				t.Errorf("dig %s: %q, want %q", tt.args, got, tt.want)
			}
		}
		if got := v.must("dig", "nosuch.adit", "AAAA"); !strings.Contains(got, "NXDOMAIN") {
			t.Errorf("a name that is none:\n%s", got)
		}
	})
	t.Run("ping", func(t *testing.T) {
		v := v.in(t)
		if out := v.must("ping", "-c", "3", "-i", "0.2", "dev.adit"); !strings.Contains(out, "3 received") {
			t.Error(out)
		}
	})
	t.Run("curl", func(t *testing.T) {
		v := v.in(t)
		if out := v.must("curl", "-sS", "http://main.dev.alice.adit:8080/"); out != "served to main.dev.alice.adit:8080" {
			t.Error(out)
		}
	})
	t.Run("ssh and scp", func(t *testing.T) {
		v := v.in(t)
		args := slices.Concat(openSSHArgs()[:len(openSSHArgs())-2], []string{"dev.adit", "echo by name; exit 5"})
		out, err := v.run("ssh", args...)
		var exit *exec.ExitError
		if !asExit(err, &exit) || exit.ExitCode() != 5 || out != "by name\n" {
			t.Errorf("%q, %v", out, err)
		}
		args = slices.Concat(openSSHArgs()[:len(openSSHArgs())-2], []string{v.bin, "dev.adit:" + filepath.Join(v.dir, "copy")})
		v.must("scp", args...)
		v.must("cmp", v.bin, filepath.Join(v.dir, "copy"))
	})
	t.Run("programs that know IPv4 alone", func(t *testing.T) { overIPv4(v.in(t)) })
	t.Run("nobody has the address", func(t *testing.T) {
		v := v.in(t)
		if out, err := v.run("ping", "-c", "1", "-W", "5", "fdad:17:ad17::1"); err == nil || !strings.Contains(out, "No route") && !strings.Contains(out, "unreachable") {
			t.Errorf("%s %v", out, err)
		}
	})
	t.Run("status", func(t *testing.T) {
		v := v.in(t)
		s := v.status()
		if s.State != daemon.StateUp || s.Interface != "adit0" || s.User != "alice" || len(s.Peers) != 1 || s.Peers[0].Path.Kind == "none" {
			raw, _ := json.Marshal(s)
			t.Errorf("%s", raw)
		}
	})
	t.Run("the command line uses the daemon's tunnels", func(t *testing.T) { throughDaemon(v.in(t)) })
	t.Run("a second one says who is up", func(t *testing.T) {
		v := v.in(t)
		out, err := v.run(v.bin, "up", "--socket", v.socket())
		if err == nil || !strings.Contains(err.Error(), "is up already (process ") || out != "" {
			t.Errorf("%s %v", out, err)
		}
	})
	t.Run("down", func(t *testing.T) {
		v := v.in(t)
		if out := v.must(v.bin, "down"); out != "adit is down\n" {
			t.Error(out)
		}
		if err := v.up.wait(); err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
		if after := v.footprint(); after != before {
			t.Errorf("left behind:\n%s\nbefore it was:\n%s", after, before)
		}
	})
}

// overIPv4 reaches the workspace by an address of IPv4, which moves when another
// network of the laptop's comes to use it.
func overIPv4(v *vpn) {
	v.t.Helper()
	address := func() netip.Addr {
		v.t.Helper()
		a, err := netip.ParseAddr(strings.TrimSpace(v.must("dig", "+short", "dev.adit", "A")))
		if err != nil || !netip.MustParsePrefix("100.64.0.0/10").Contains(a) {
			v.t.Fatalf("the workspace is at %v (%v)", a, err)
		}
		return a
	}
	works := func(a netip.Addr) {
		v.t.Helper()
		if out := v.must("ping", "-4", "-c", "2", "-i", "0.2", "dev.adit"); !strings.Contains(out, "2 received") {
			v.t.Error(out)
		}
		if out := v.must("curl", "-4", "-sS", "http://dev.adit:8080/"); out != "served to dev.adit:8080" {
			v.t.Error(out)
		}
		if out := v.must("dig", "+short", "-x", a.String()); out != "main.dev.alice.adit.\n" {
			v.t.Errorf("%v is %s", a, out)
		}
		// As programs ask, by the C library and the machine's resolver.
		if out := v.must("getent", "hosts", a.String()); !strings.Contains(out, "main.dev.alice.adit") {
			v.t.Errorf("%v is %s", a, out)
		}
	}
	was := address()
	works(was)
	v.must("ip", "link", "add", "corp", "type", "bridge")
	v.must("ip", "link", "set", "corp", "up")
	v.must("ip", "addr", "add", netip.PrefixFrom(was, 16).Masked().Addr().Next().String()+"/16", "dev", "corp")
	v.eventually("another address", func() bool { return netip.PrefixFrom(address(), 16).Masked() != netip.PrefixFrom(was, 16).Masked() })
	works(address())
	v.must("ip", "link", "del", "corp")
}

// throughDaemon has the commands of people do what they do without a daemon, and
// finds that they started no node of their own.
func throughDaemon(v *vpn) {
	v.t.Helper()
	out, err := v.run(v.bin, "ssh", "dev", "--", "echo out; echo err >&2; exit 7")
	var exit *exec.ExitError
	if !asExit(err, &exit) || exit.ExitCode() != 7 || out != "out\n" {
		v.t.Errorf("ssh: %q, %v", out, err)
	}
	var line pingLine
	if err := json.Unmarshal([]byte(v.must(v.bin, "ping", "dev", "-c", "1", "-o", "json")), &line); err != nil || line.Path.Kind != "direct" || line.RTTMs <= 0 {
		v.t.Errorf("ping: %+v (%v)", line, err)
	}
	var s statusReport
	if err := json.Unmarshal([]byte(v.must(v.bin, "status", "-o", "json")), &s); err != nil || len(s.Peers) != 1 || s.Peers[0].Path.Kind != "direct" ||
		s.Self.Address != v.status().Self.Address {
		v.t.Errorf("status: %+v (%v)", s, err)
	}
	program, args := v.inside(v.bin, "port-forward", "dev", "--tcp", "9000:8080")
	cmd := v.laptop.Command(context.Background(), program, args...)
	cmd.Env, cmd.Dir = append(v.env(), daemon.SocketEnv+"="+v.socket()), v.dir
	forward := v.deployment.run(v.laptop, "forward.log", cmd)
	forward.waitFor("Forwarding")
	if out := v.must("curl", "-sS", "http://127.0.0.1:9000/"); out != "served to 127.0.0.1:9000" {
		v.t.Errorf("port-forward: %s", out)
	}
	forward.stop()
	for _, args := range [][]string{{"ssh", "nosuch", "--", "true"}, {"ping", "nosuch"}} {
		if out, err := v.run(v.bin, args...); err == nil || !strings.Contains(err.Error(), "no workspace nosuch") {
			v.t.Errorf("%v: %s %v", args, out, err)
		}
	}
	// Each node that has joined is in the server's log.
	for {
		select {
		case log := <-v.serverProc.lines:
			if strings.Contains(log, "node joined") && strings.Contains(log, "name=alice") {
				v.joined++
			}
			continue
		default:
		}
		break
	}
	if v.joined != 1 {
		v.t.Errorf("%d nodes have joined", v.joined)
	}
	// What is asked of a path is asked of a node of one's own.
	if err := json.Unmarshal([]byte(v.must(v.bin, "ping", "dev", "-c", "1", "-o", "json", "--relay-only")), &line); err != nil || line.Path.Kind != "derp" {
		v.t.Errorf("ping --relay-only: %+v (%v)", line, err)
	}
}

// Whatever a killed daemon has left, the next one and its end leave nothing of.
func TestNothingIsLeftOfAKilledDaemon(t *testing.T) {
	v := deployVPN(t)
	before := v.footprint()
	v.start()
	v.up.kill()
	if out := v.must("cat", "/etc/resolv.conf"); !strings.Contains(out, "nameserver "+v.server.Addr().String()) {
		t.Errorf("no resolver is left for the rest of the world:\n%s", out)
	}
	if out := v.must(v.bin, "down"); out != "adit is not up\n" {
		t.Error(out)
	}
	if after := v.footprint(); after != before {
		t.Errorf("left behind by down alone:\n%s\nbefore it was:\n%s", after, before)
	}
	cycles := 3
	if os.Getenv("LOAD") == "full" {
		cycles = 20
	}
	for i := range cycles {
		v.start()
		v.up.kill()
		v.start() // over a stale socket
		v.must(v.bin, "down")
		if after := v.footprint(); after != before {
			t.Fatalf("left behind in cycle %d:\n%s\nbefore it was:\n%s", i, after, before)
		}
	}
}

// A connection by the interface outlives the laptop's way from one network to the next
// and a sleep of the daemon's. Started in the background, the daemon outlives who
// started it.
func TestConnectionsByTheInterfaceSurvive(t *testing.T) {
	v := deployVPN(t)
	if out := v.must(v.bin, "up", "--background"); !strings.Contains(out, "adit is up in the background (process ") {
		t.Error(out)
	}
	t.Cleanup(func() { v.must(v.bin, "down") })
	if out, err := v.run(v.bin, "up", "--background"); err == nil || !strings.Contains(err.Error(), "is up already (process ") {
		t.Errorf("a second one: %s %v", out, err)
	}
	program, args := v.inside("ssh", slices.Concat(openSSHArgs()[:len(openSSHArgs())-2], []string{"dev.adit", "cat"})...)
	cmd := v.laptop.Command(context.Background(), program, args...)
	cmd.Env, cmd.Dir = v.env(), v.dir
	session := v.deployment.run(v.laptop, "session.log", cmd)
	session.echo("at home")
	v.laptop.MoveTo(v.lab.Router("cafe", netlab.PortRestricted))
	session.echo("in the café")
	pid := v.status().PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-time.After(5 * time.Second) // longer than what counts as asleep
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	session.echo("awake")
}

func TestTheUnitSaysWhatWasAskedFor(t *testing.T) {
	got := unit("/opt/a dit/adit", []string{"up", "--config-dir", `/home/al"ice/100%`, "--suffix=dev"})
	if want := `ExecStart="/opt/a dit/adit" "up" "--config-dir" "/home/al\"ice/100%%" "--suffix=dev"` + "\n"; !strings.Contains(got, want) {
		t.Error(got)
	}
}

// Every flag that says how the daemon is to run is the unit's, too.
func TestTheUnitHasTheFlagsThatWereGiven(t *testing.T) {
	cmd := newUpCmd(&app{})
	var want []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		value := "true"
		if f.Value.Type() == "string" {
			value = "eu"
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains([]string{"background", "install", "uninstall"}, f.Name) {
			want = append(want, "--"+f.Name+"="+value)
		}
	})
	if got := installedArgs(cmd, "/home/alice"); !slices.Equal(got, append([]string{"up", "--config-dir", "/home/alice"}, want...)) {
		t.Errorf("%q, want %q", got, want)
	}
}

// What cannot be installed leaves nothing behind.
func TestInstallNeedsSystemd(t *testing.T) {
	if _, err := os.Stat(systemdRuns); err == nil {
		t.Skip("systemd runs here")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "session.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &app{configDir: dir}
	if err := install(t.Context(), a, newUpCmd(a)); err == nil || !strings.Contains(err.Error(), "needs systemd") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(unitFile); err == nil {
		t.Errorf("%s is there", unitFile)
	}
}

// Without any rights, programs that know proxies reach workspaces by name.
func TestUpWithoutRights(t *testing.T) {
	v := deployVPN(t)
	v.web("8080")
	before := v.footprint()
	without := []string{"--bounding-set=-all", "--inh-caps=-all"}
	program, args := v.inside("setpriv", slices.Concat(without, []string{v.bin, "up", "--userspace", "--socket", v.socket()})...)
	cmd := v.laptop.Command(context.Background(), program, args...)
	cmd.Env, cmd.Dir = v.env(), v.dir
	v.up = v.deployment.run(v.laptop, "up.log", cmd)
	v.up.waitFor("adit is up: SOCKS5 and HTTP at 127.0.0.1:1080")
	if after := v.footprint(); after != before {
		t.Errorf("changed this machine's network:\n%s", after)
	}
	for _, args := range [][]string{
		{"-x", "socks5h://127.0.0.1:1080", "http://dev.adit:8080/"},
		{"-x", "http://127.0.0.1:1080", "http://dev.adit:8080/"},
		{"-p", "-x", "http://127.0.0.1:1080", "http://dev.adit:8080/"},
	} {
		if out := v.must("curl", append([]string{"-sS", "-m", "30"}, args...)...); out != "served to dev.adit:8080" {
			t.Errorf("curl %v: %s", args, out)
		}
	}
	// All else goes where it would go anyway.
	if out := v.must("curl", "-sS", "-m", "30", "-x", "socks5h://127.0.0.1:1080", v.url()+"/healthz"); out == "" {
		t.Error("the server does not answer through the proxy")
	}
	for _, proxy := range []string{"socks5h", "http"} {
		if out, err := v.run("curl", "-sS", "-f", "-m", "30", "-x", proxy+"://127.0.0.1:1080", "http://nosuch.adit:8080/"); err == nil {
			t.Errorf("%s to a workspace that is none: %s", proxy, out)
		}
	}
	// Other users of the laptop have no part in it.
	if out, err := v.run("setpriv", "--reuid=65534", "--clear-groups", "curl", "-sS", "-m", "30", "-x", "socks5h://127.0.0.1:1080", "http://dev.adit:8080/"); err == nil {
		t.Errorf("another user reached %s", out)
	}
	v.must(v.bin, "down")
}

// What stands in the way is said in one line.
func TestUpSaysWhyItCannotBe(t *testing.T) {
	v := deployVPN(t)
	v.must("ip", "link", "add", "mine", "type", "bridge")
	for name, tt := range map[string]struct {
		prefix, args []string
		want         string
	}{
		"interface taken": {args: []string{"--interface", "mine"}, want: "interface mine that is not ours"},
		"no TUN device":   {prefix: []string{"unshare", "-m", "sh", "-c", `mount -t tmpfs none /dev/net && exec "$0" "$@"`}, want: "has no TUN device"},
		"no permission":   {prefix: []string{"setpriv", "--bounding-set=-net_admin"}, want: "needs root or CAP_NET_ADMIN"},
		"bad suffix":      {args: []string{"--suffix", "no dots."}, want: "--suffix"},
	} {
		t.Run(name, func(t *testing.T) {
			v := v.in(t)
			argv := slices.Concat(tt.prefix, []string{v.bin, "up", "--socket", filepath.Join(t.TempDir(), "s")}, tt.args)
			start := time.Now()
			out, err := v.run(argv[0], argv[1:]...)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Count(err.Error(), "adit up: ") != 1 {
				t.Errorf("%s %v after %v", out, err, time.Since(start))
			}
		})
	}
}

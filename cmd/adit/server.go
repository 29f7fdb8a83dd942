//go:build !slim

package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/coordinator"
	"github.com/aditmesh/adit/coordinator/breaker"
	"github.com/aditmesh/adit/coordinator/health"
	"github.com/aditmesh/adit/coordinator/identity"
	"github.com/aditmesh/adit/coordinator/metrics"
	"github.com/aditmesh/adit/coordinator/proxy"
	"github.com/aditmesh/adit/coordinator/support"
	"github.com/aditmesh/adit/derp"
	"github.com/aditmesh/adit/pkg/captive"
	"github.com/aditmesh/adit/pkg/certfile"
	"github.com/aditmesh/adit/pkg/postgres"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// embeddedRegion is the relay inside the server: the first id that is left to
// those who host their own.
const embeddedRegion = 900

// stunPorts: the port of RFC 8489, and a second one, so that nodes can see
// whether their mapping varies with the destination.
var stunPorts = []uint{3478, 3479}

// enoughFiles is for ten thousand nodes, and for people, provisioners and the
// database beside them.
const enoughFiles = 10_000 + 2000

type serverFlags struct {
	listen, accessURL, dataDir, postgresURL, stateKeyFile string
	agentBinaries, wildcardURL, appsURL, appsListen       string
	relay, webhookPrivate, turn                           bool
	tlsCert, tlsKey, turnAddress                          string
	stunPorts                                             []uint
	udpRelayPort                                          int
	nodePing, nodeTimeout                                 time.Duration
	jobLease, cancelGrace                                 time.Duration
	metricsListen, debugListen                            string
	logFormat                                             string
	drainDelay                                            time.Duration
	check                                                 bool
	settings                                              map[string]string // all flags, for those who help
	provisioners                                          uint
	provisioner                                           provisionerFlags
	signIn                                                signInFlags
	// clouds are whose word on instances is taken; no flag sets others than the
	// clouds themselves.
	clouds identity.Config
}

func newServerCmd(a *app) *cobra.Command {
	var f serverFlags
	cmd := &cobra.Command{
		Use: "server", Short: "Run the coordinator, with an embedded relay and Postgres",
		Example: `  adit server --listen 0.0.0.0:7080 --data-dir /var/lib/adit
  adit server --postgres-url postgres://adit@db/adit --tls-cert cert.pem --tls-key key.pem`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flagsFromEnv(cmd.Flags(), "ADIT_"); err != nil {
				return err
			}
			if f.check {
				return checkServer(cmd.Context(), a, f)
			}
			f.settings = settingsOf(cmd.Flags())
			return runServer(cmd.Context(), a, f, cmd.Flags().Changed("stun-ports"))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:7080", "address to serve HTTP and WebSockets on")
	flags.StringVar(&f.accessURL, "access-url", "", "URL that people and agents use (default: whatever they came by)")
	flags.StringVar(&f.wildcardURL, "wildcard-url", "", "URL below which apps and ports of workspaces have names, such as https://*.apps.example.com (default: http://*.localhost on a loopback address)")
	flags.StringVar(&f.appsURL, "apps-url", "", "URL below which apps and ports of workspaces are paths, where no wildcard can be had: another host than the access URL's, or another port")
	flags.StringVar(&f.appsListen, "apps-listen", "", "address to serve --apps-url on, if that is another port")
	shared := cmd.PersistentFlags()
	shared.StringVar(&f.dataDir, "data-dir", defaultDataDir(), "where the database and the relay's key are kept")
	flags.StringVar(&f.postgresURL, "postgres-url", "", "Postgres 15 or newer (default: a private one in the data directory)")
	shared.StringVar(&f.stateKeyFile, "state-key-file", "", "keys that seal Terraform's states (default: state.key in the data directory)")
	flags.StringVar(&f.agentBinaries, "agent-binaries", "", "directory with adit-OS-ARCH for agents to download (see make agents; default: agents beside this program, if there is one)")
	flags.BoolVar(&f.webhookPrivate, "webhook-private", false, "webhooks may go to private and loopback addresses, and templates follow repositories there")
	flags.BoolVar(&f.relay, "relay", true, "run the embedded relay")
	flags.StringVar(&f.tlsCert, "tls-cert", "", "certificate file in PEM; serves HTTPS")
	flags.StringVar(&f.tlsKey, "tls-key", "", "key file in PEM")
	flags.UintSliceVar(&f.stunPorts, "stun-ports", stunPorts, "UDP ports of the embedded relay's STUN")
	flags.IntVar(&f.udpRelayPort, "udp-relay-port", udpRelayPort, "UDP port that the embedded relay carries packets of nodes on; -1 carries them over TCP alone")
	flags.BoolVar(&f.turn, "turn", true, "relay browsers by TURN on the first of --stun-ports; needs this host's UDP ports to be reachable")
	flags.StringVar(&f.turnAddress, "turn-address", "", "IP address at which the world reaches this host's UDP ports (default: that of --access-url)")
	flags.UintVar(&f.provisioners, "provisioners", 2, "how many jobs the built-in provisioners run at once; 0 turns them off")
	terraformFlags(cmd, &f.provisioner)
	f.signIn.add(flags)
	flags.DurationVar(&f.nodePing, "node-ping", 15*time.Second, "how often a silent node is pinged")
	flags.DurationVar(&f.nodeTimeout, "node-timeout", 30*time.Second, "how long a node may be silent before it counts as lost")
	flags.DurationVar(&f.jobLease, "job-lease", 30*time.Second, "how long a provisioner may be silent before its jobs count as lost")
	flags.DurationVar(&f.cancelGrace, "cancel-grace", 2*time.Minute, "how long Terraform may take to end before a canceled job is killed")
	flags.StringVar(&f.metricsListen, "metrics-listen", "", "address to serve Prometheus metrics on, such as 127.0.0.1:9090 (default: nowhere)")
	flags.StringVar(&f.debugListen, "debug-listen", "", "address to serve Go's profiles on, such as 127.0.0.1:6060 (default: nowhere)")
	flags.StringVar(&f.logFormat, "log-format", "text", "format of log lines: text or json")
	flags.DurationVar(&f.drainDelay, "drain-delay", 0, "how long to answer 'not ready' before shutting down, for load balancers to notice")
	flags.BoolVar(&f.check, "check", false, "check the configuration and its neighbours, say what is wrong, and start nothing")
	cmd.AddCommand(newRotateStateKeyCmd(a, &f))
	return cmd
}

func defaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/adit"
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "adit")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "adit-data"
	}
	return filepath.Join(home, ".local", "share", "adit")
}

func runServer(ctx context.Context, a *app, f serverFlags, stunChosen bool) error {
	if err := f.validate(); err != nil {
		return err
	}
	log, lastLines, err := a.serverLogger(f)
	if err != nil {
		return err
	}
	// The relay's libraries write to the standard logger, about events that are
	// none, and their tone is not ours.
	stdlog.SetFlags(0)
	stdlog.SetOutput(slog.NewLogLogger(log.Handler(), slog.LevelDebug).Writer())
	if os.Getenv("GOGC") == "" {
		go boundGarbage(ctx)
	}
	if most := maxOpenFiles(); most > 0 && most < enoughFiles {
		log.Warn("few files may be open at once, and each node's connection is one; raise the hard limit (ulimit -Hn, LimitNOFILE)", "limit", most)
	}
	var accessURL *url.URL
	if f.accessURL != "" {
		if accessURL, err = parseURL(f.accessURL); err != nil {
			return err
		}
	}
	conf := coordinator.Config{Breakers: breaker.NewRegistry(log)}
	if err := f.signIn.configure(&conf); err != nil {
		return err
	}
	// What can fail at once is tried first, before a database is started.
	cert, err := f.certificate(log)
	if err != nil {
		return err
	}
	l, err := listenWeb(ctx, "--listen", f.listen, cert)
	if err != nil {
		return err
	}
	defer l.Close()
	var forApps net.Listener
	if f.appsListen != "" {
		if forApps, err = listenWeb(ctx, "--apps-listen", f.appsListen, cert); err != nil {
			return err
		}
		defer forApps.Close()
	}
	counts := metrics.New(version)
	stopPrivate, err := openPrivate(ctx, f, counts, log)
	if err != nil {
		return err
	}
	defer stopPrivate()
	front := coordinator.NewFront(l, counts, log)
	defer front.Close()
	if forApps != nil {
		front.Also(forApps)
	}
	if err := prepareDataDir(f.dataDir); err != nil {
		return err
	}
	keys, err := stateKeys(f)
	if err != nil {
		return err
	}
	if f.postgresURL == "" {
		front.At("the private Postgres is starting")
		pg, err := postgres.Start(ctx, postgres.Config{Dir: f.dataDir, Logger: log})
		if err != nil {
			return err
		}
		defer pg.Close()
		f.postgresURL = pg.URL()
	}

	front.At("the database is connected and its schema brought up to date")
	var server *coordinator.Server // set before the relay has clients
	conf.PostgresURL, conf.AccessURL, conf.StateKeys, conf.AgentBinaries = f.postgresURL, accessURL, keys, cmp.Or(f.agentBinaries, agentsBeside())
	conf.NodePing, conf.NodeTimeout, conf.JobLease, conf.CancelGrace = f.nodePing, f.nodeTimeout, f.jobLease, f.cancelGrace
	if conf.Apps, conf.Main, err = f.apps(l.Addr(), accessURL); err != nil {
		return err
	}
	conf.DrainDelay, conf.DataDir, conf.Metrics, conf.WebhookPrivate = f.drainDelay, f.dataDir, counts, f.webhookPrivate
	conf.Identity = f.clouds
	conf.Relays, conf.Version, conf.Logger = &meshv1.Relays{}, version, log
	conf.Support = support.Sources{Settings: f.settings, Log: lastLines, Redactor: f.redactor()}
	if cert != nil {
		conf.Certificate = cert.Leaf
	}
	conf.Mounts = map[string]http.Handler{captive.Path: http.HandlerFunc(derp.NoContent)}
	prober := derp.NewProber()
	conf.ProbeRelay, conf.ProbeKey = probeRelay(prober), prober.Key()
	if f.relay {
		turn, err := f.turnServer(ctx, accessURL)
		if err != nil {
			return err
		}
		relay, err := startRelay(f, stunChosen, turn, log, func(ctx context.Context, key [32]byte) (bool, error) {
			return server.Vouches(ctx, key)
		})
		if err != nil {
			return err
		}
		if turn != nil {
			conf.TURNSecret = turn.Secret
		}
		defer relay.Close()
		if err := counts.Register(relay.Metrics()); err != nil {
			return err
		}
		conf.Relays = embeddedRelays(relay)
		h := relay.Handler()
		conf.Mounts["/derp"], conf.Mounts["/derp/"] = h, h
	}
	if server, err = coordinator.Open(ctx, conf); err != nil {
		return err
	}
	useNewestKey(ctx, f, keys, server.Reseal, log)
	f.provisioner.dataDir = filepath.Join(f.dataDir, "provisioner")
	stop, err := startProvisioners(ctx, int(f.provisioners), f.provisioner, l.Addr(), f.tlsCert != "", server.ProvisionerToken(), log)
	if err != nil {
		return err
	}
	defer stop()
	return server.RunBehind(ctx, front, func() {
		fmt.Fprintf(a.out, "adit server ready at %s\n", displayURL(l.Addr(), accessURL, f.tlsCert != ""))
	})
}

// apps is where apps and ports of workspaces have their names, and where the dashboard
// is for those who come there. Browsers find all names below localhost on this machine.
func (f serverFlags) apps(at net.Addr, accessURL *url.URL) (domain *proxy.Domain, dashboard *url.URL, err error) {
	here, err := url.Parse(displayURL(at, accessURL, f.tlsCert != ""))
	if err != nil {
		return nil, nil, fmt.Errorf("--access-url: %w", err)
	}
	text := f.wildcardURL
	ip, err := netip.ParseAddr(here.Hostname())
	if f.appsURL != "" {
		return f.appPaths(here, err == nil && ip.IsUnspecified())
	}
	if text != "" && err == nil && ip.IsUnspecified() {
		return nil, nil, usagef("--wildcard-url needs --access-url: who opens an app is led there to sign in")
	}
	if text == "" && err == nil && ip.IsLoopback() {
		text = (&url.URL{Scheme: here.Scheme, Host: "*.localhost:" + here.Port()}).String()
	}
	if text == "" {
		return nil, nil, nil
	}
	if domain, err = proxy.ParseDomain(text); err != nil {
		return nil, nil, usagef("--wildcard-url %w", err)
	}
	return domain, here, nil
}

// appPaths is where apps and ports are paths. Never where the dashboard is: their pages
// would be the dashboard's own, as browsers see it, and could do all that it can.
func (f serverFlags) appPaths(here *url.URL, anywhere bool) (domain *proxy.Domain, dashboard *url.URL, err error) {
	domain, err = proxy.ParsePaths(f.appsURL)
	switch {
	case err != nil:
		return nil, nil, usagef("--apps-url %w", err)
	case f.wildcardURL != "":
		return nil, nil, usagef("--apps-url is for where there is no --wildcard-url")
	case anywhere:
		return nil, nil, usagef("--apps-url needs --access-url: who opens an app is led there to sign in")
	case domain.Serves(here):
		return nil, nil, usagef("--apps-url %s is where the dashboard is; want another host, or another port with --apps-listen", f.appsURL)
	}
	return domain, here, nil
}

// validate returns what is wrong with the flags by themselves.
func (f serverFlags) validate() error {
	if f.jobLease < time.Second {
		return usagef("--job-lease %v: want 1s or more", f.jobLease)
	}
	if f.nodePing <= 0 || f.nodePing >= f.nodeTimeout {
		return usagef("--node-ping %v: want more than 0s, and less than --node-timeout, which is %v", f.nodePing, f.nodeTimeout)
	}
	if f.drainDelay < 0 {
		return usagef("--drain-delay %v: want 0s or more", f.drainDelay)
	}
	if info, err := os.Stat(f.agentBinaries); f.agentBinaries != "" && (err != nil || !info.IsDir()) {
		return usagef("--agent-binaries %s: there is no such directory; make agents fills one", f.agentBinaries)
	}
	return nil
}

// agentsBeside is the directory of agents' programs that came with this one; empty is
// none.
func agentsBeside() string {
	program, err := os.Executable()
	if err != nil {
		return ""
	}
	dir := filepath.Join(filepath.Dir(program), "agents")
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return ""
	}
	return dir
}

// certificate returns what HTTPS is served with; nil is plain HTTP. One that has ended
// is better than no server: its health says so.
func (f serverFlags) certificate(log *slog.Logger) (*certfile.Pair, error) {
	if (f.tlsCert == "") != (f.tlsKey == "") {
		return nil, usagef("--tls-cert and --tls-key go together")
	}
	if f.tlsCert == "" {
		return nil, nil
	}
	pair, err := certfile.OpenEnded(f.tlsCert, f.tlsKey, log)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	return pair, nil
}

func listenWeb(ctx context.Context, flag, addr string, cert *certfile.Pair) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("address %s is taken by another program; stop it, or choose another with %s", addr, flag)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, addr, err)
	}
	if cert != nil {
		l = tls.NewListener(l, webTLS(cert))
	}
	return l, nil
}

// webTLS serves a certificate, and the next one when its files have that.
func webTLS(cert *certfile.Pair) *tls.Config {
	return &tls.Config{GetCertificate: cert.GetCertificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
}

// prepareDataDir makes the data directory and makes sure it can be written.
func prepareDataDir(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		// The user that runs Postgres has to pass through, whatever the umask.
		err := os.MkdirAll(dir, 0o711)
		if err == nil {
			err = os.Chmod(dir, 0o711)
		}
		if err != nil {
			return fmt.Errorf("data directory: %w; choose another with --data-dir", err)
		}
	}
	probe, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return fmt.Errorf("data directory %s cannot be written: %w; choose another with --data-dir", dir, err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

func startRelay(f serverFlags, stunChosen bool, turn *derp.TURN, log *slog.Logger, admit func(context.Context, [32]byte) (bool, error)) (*derp.Relay, error) {
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		return nil, usagef("--listen %q: %w", f.listen, err)
	}
	conf := derp.Config{KeyFile: filepath.Join(f.dataDir, "relay.key"), Admit: admit, TURN: turn, Logger: log}
	for _, p := range f.stunPorts {
		conf.STUN = append(conf.STUN, net.JoinHostPort(host, strconv.Itoa(int(p))))
	}
	if conf.UDPRelay, err = udpRelayAddr(host, f.udpRelayPort); err != nil {
		return nil, err
	}
	relay, err := derp.Start(conf)
	if errors.Is(err, syscall.EADDRINUSE) && !stunChosen {
		// Another STUN server is none of our business; nodes learn our ports
		// from the relay map.
		log.Warn("the embedded relay's usual UDP ports are taken; others are used", "wanted", append(f.stunPorts, uint(f.udpRelayPort)))
		for i := range conf.STUN {
			conf.STUN[i] = net.JoinHostPort(host, "0")
		}
		if conf.UDPRelay != "" {
			conf.UDPRelay = net.JoinHostPort(host, "0")
		}
		relay, err = derp.Start(conf)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; choose other ports with --stun-ports and --udp-relay-port", err)
	}
	return relay, nil
}

// probeRelay has relays asked as nodes do.
func probeRelay(p *derp.Prober) func(context.Context, *url.URL, *meshv1.Relay) health.RelayProbe {
	return func(ctx context.Context, u *url.URL, r *meshv1.Relay) health.RelayProbe {
		t := derp.Target{URL: u, CertName: r.GetCertName()}
		for _, port := range r.GetStunPorts() {
			t.STUNPorts = append(t.STUNPorts, uint16(port))
		}
		if udp := r.GetUdp(); len(udp.GetKey()) == 32 && len(udp.GetDiscoKey()) == 32 {
			t.UDP = derp.UDPRelayInfo{Port: uint16(udp.GetPort()), Key: [32]byte(udp.GetKey()), DiscoKey: [32]byte(udp.GetDiscoKey())}
		}
		probed, err := p.Probe(ctx, t)
		out := health.RelayProbe{Err: err, Silent: probed.Silent, UDP: probed.UDP}
		if t.CertName == "" { // who pins a certificate does not ask when it ends
			out.CertificateEnds, out.Untrusted = probed.CertificateEnds, probed.Untrusted
		}
		return out
	}
}

// embeddedRelays is the relay map of a deployment with nothing but the relay
// inside the server. Its URL is left out: it is wherever the coordinator is.
func embeddedRelays(r *derp.Relay) *meshv1.Relays {
	relay := &meshv1.Relay{Name: "embedded"}
	for _, p := range r.STUNPorts() {
		relay.StunPorts = append(relay.StunPorts, uint32(p))
	}
	if p := r.UDPRelay(); p.Port != 0 {
		relay.Udp = &meshv1.UDPRelay{Port: uint32(p.Port), Key: p.Key[:], DiscoKey: p.DiscoKey[:]}
	}
	return &meshv1.Relays{Regions: []*meshv1.Region{{
		Id: embeddedRegion, Code: "default", Name: "Embedded relay", Relays: []*meshv1.Relay{relay},
	}}}
}

func displayURL(at net.Addr, access *url.URL, secure bool) string {
	if access != nil {
		return access.String()
	}
	u := url.URL{Scheme: "http", Host: at.String()}
	if secure {
		u.Scheme = "https"
	}
	return u.String()
}

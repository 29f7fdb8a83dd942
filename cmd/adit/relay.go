//go:build !slim

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/derp"
	"github.com/aditmesh/adit/pkg/certfile"
)

// relayDrain is how long nodes have to move once a relay leaves the map: they are
// told within milliseconds, and connect to another within a second.
const relayDrain = 5 * time.Second

type relayFlags struct {
	settings, tokenFile, listen, address, dataDir, tlsCert, tlsKey, metricsListen string
	acmeHost, acmeEmail, acmeDirectory, turnAddress                               string
	turn                                                                          bool
	plainHTTP                                                                     bool
	stunPorts                                                                     []uint
	udpRelayPort                                                                  int
	clientRate                                                                    uint
	drain                                                                         time.Duration
}

func newRelayCmd(a *app) *cobra.Command {
	var f relayFlags
	cmd := &cobra.Command{
		Use: "relay", Short: "Run a regional relay on this host",
		Long: `Run a regional relay on this host.

It carries the packets of nodes that have no direct path, which it cannot read, and
answers STUN. Nodes learn of it from the coordinator. It serves HTTPS with the
certificate it is given, or else with one of its own that the coordinator has nodes
trust, so that a host without a name will do.`,
		Example: `  adit relays create fra --region eu          (prints the token)
  adit relay --url https://adit.example.com --token-file /etc/adit/relay.token
  adit relay --url https://adit.example.com --address https://fra.example.com --tls-cert cert.pem --tls-key key.pem`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.settle(cmd); err != nil {
				return err
			}
			log := a.logger(slog.LevelInfo)
			conf, err := f.config(cmd.Context(), a, log)
			if err != nil {
				return err
			}
			conf.Joined = func(name, region string) { fmt.Fprintf(a.out, "adit relay %s ready in region %s\n", name, region) }
			if err := prepareDataDir(f.dataDir); err != nil {
				return err
			}
			return relayError(derp.Serve(cmd.Context(), conf), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.settings, "config", "", "YAML file of flags' names and values, which go behind flags and environment")
	flags.StringVar(&f.tokenFile, "token-file", "", "file that holds the relay's token")
	flags.StringVar(&f.listen, "listen", ":443", "TCP address to serve on")
	flags.StringVar(&f.address, "address", "", "HOST[:PORT] or URL by which nodes reach it (default: the address that leads to the coordinator)")
	flags.StringVar(&f.dataDir, "data-dir", filepath.Join(defaultDataDir(), "relay"), "where the relay's keys are kept")
	flags.StringVar(&f.tlsCert, "tls-cert", "", "certificate to serve HTTPS with (default: one of its own, which nodes are told to trust)")
	flags.StringVar(&f.tlsKey, "tls-key", "", "key of the certificate")
	flags.StringVar(&f.acmeHost, "acme-host", "", "name to get a certificate for by ACME, from Let's Encrypt unless --acme-directory names another; the world must reach --listen at port 443 of it")
	flags.StringVar(&f.acmeEmail, "acme-email", "", "whom the authority writes to when a certificate is in danger")
	flags.StringVar(&f.acmeDirectory, "acme-directory", "", "URL of another authority")
	flags.BoolVar(&f.plainHTTP, "plain-http", false, "serve HTTP, for a proxy in front that ends TLS; say where that is with --address")
	flags.UintSliceVar(&f.stunPorts, "stun-ports", stunPorts, "UDP ports to answer STUN on")
	flags.IntVar(&f.udpRelayPort, "udp-relay-port", udpRelayPort, "UDP port to carry packets of nodes on; -1 carries them over TCP alone")
	flags.UintVar(&f.clientRate, "client-rate", 0, "Mbit/s that it takes from one node over DERP (default: as much as comes)")
	flags.BoolVar(&f.turn, "turn", true, "relay browsers by TURN on the first of --stun-ports; needs this host's UDP ports to be reachable")
	flags.StringVar(&f.turnAddress, "turn-address", "", "IP address at which the world reaches this host's UDP ports (default: that of --address)")
	flags.DurationVar(&f.drain, "drain", relayDrain, "how long nodes have to move elsewhere when it ends")
	flags.StringVar(&f.metricsListen, "metrics-listen", "", "address to serve /metrics on (default: nowhere)")
	return cmd
}

// udpRelayPort is next to those of STUN.
const udpRelayPort = 3480

// udpRelayAddr is where to carry packets over UDP; empty is nowhere, as for nodes on
// this host alone, which have no need of it.
func udpRelayAddr(host string, port int) (string, error) {
	ip, _ := netip.ParseAddr(host)
	switch {
	case port < -1 || port > 65535:
		return "", usagef("--udp-relay-port %d is no UDP port", port)
	case port < 0 || ip.IsLoopback() || host == "localhost":
		return "", nil
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// relayEnv begins the names of a relay's environment variables.
const relayEnv = "ADIT_RELAY_"

// settle adds to the flags what the environment and the file say.
func (f *relayFlags) settle(cmd *cobra.Command) error {
	if err := flagsFromEnv(cmd.LocalNonPersistentFlags(), relayEnv); err != nil {
		return err
	}
	if f.settings == "" {
		return nil
	}
	// The coordinator's URL has a variable that is no relay's alone, and the token has
	// two places.
	token := f.tokenFile != "" || os.Getenv(relayEnv+"TOKEN") != ""
	return flagsFromFile(cmd.Flags(), f.settings, func(flag string) bool {
		return flag == "url" && os.Getenv("ADIT_URL") != "" || (flag == "token" || flag == "token-file") && token
	})
}

// config reads the flags.
func (f relayFlags) config(ctx context.Context, a *app, log *slog.Logger) (derp.ServeConfig, error) {
	none := derp.ServeConfig{}
	if a.url == "" {
		return none, usagef("name the coordinator with --url or ADIT_URL")
	}
	u, err := parseURL(a.url)
	if err != nil {
		return none, err
	}
	token, err := roleToken("relay", a.token, f.tokenFile, "ADIT_RELAY_TOKEN", "'adit relays create NAME --region CODE' prints it")
	if err != nil {
		return none, err
	}
	conf := derp.ServeConfig{
		URL: u, Token: token, Listen: f.listen, PlainHTTP: f.plainHTTP, DataDir: f.dataDir, DrainFor: f.drain, MetricsListen: f.metricsListen, TURN: f.turn, ClientRate: uint64(f.clientRate) * 1e6 / 8, Version: version, Logger: log,
	}
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		return none, usagef("--listen %q: %w", f.listen, err)
	}
	for _, p := range f.stunPorts {
		conf.STUN = append(conf.STUN, net.JoinHostPort(host, strconv.Itoa(int(p))))
	}
	if conf.UDPRelay, err = udpRelayAddr(host, f.udpRelayPort); err != nil {
		return none, err
	}
	if (f.tlsCert == "") != (f.tlsKey == "") {
		return none, usagef("--tls-cert and --tls-key go together")
	}
	if f.plainHTTP && (f.address == "" || f.tlsCert != "") {
		return none, usagef("--plain-http wants the --address of the proxy in front, and no certificate")
	}
	if f.acmeHost != "" {
		if f.tlsCert != "" || f.plainHTTP {
			return none, usagef("--acme-host gets a certificate; leave --tls-cert and --plain-http out")
		}
		if f.acmeDirectory != "" {
			if _, err := parseURL(f.acmeDirectory); err != nil {
				return none, usagef("--acme-directory: %w", err)
			}
		}
		conf.ACME = &derp.ACME{Host: f.acmeHost, Email: f.acmeEmail, Directory: f.acmeDirectory}
		if f.address == "" {
			f.address = f.acmeHost
		}
	}
	if f.address != "" {
		text := f.address
		if !strings.Contains(text, "://") {
			text = "https://" + text
		}
		at, err := url.Parse(text)
		if err != nil || at.Hostname() == "" {
			return none, usagef("--address %q: want HOST[:PORT] or https://HOST[:PORT]", f.address)
		}
		conf.Address = at
	}
	at := ""
	if conf.Address != nil {
		at = conf.Address.Hostname()
	}
	if f.tlsCert != "" {
		pair, err := certfile.Open(f.tlsCert, f.tlsKey, at, log)
		if err != nil {
			return none, fmt.Errorf("--tls-cert, --tls-key: %w; give it a pair that is good, or leave both out and the relay makes one", err)
		}
		conf.Certificate = pair.GetCertificate
	}
	conf.TURNAddress, err = turnAddress(ctx, f.turnAddress, at)
	return conf, err
}

// relayError says what to do about what ended a relay.
func relayError(err error, f relayFlags) error {
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case errors.Is(err, derp.ErrRevoked):
		return errors.New("the coordinator does not accept this relay's token: wrong, or the relay was deleted; 'adit relays create NAME --region CODE' makes another")
	case errors.Is(err, derp.ErrInUse):
		return errors.New("another relay runs with this token; give each its own with 'adit relays create', and delete this one if you do not know the other")
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w; choose others with --listen, --stun-ports and --udp-relay-port", err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w; run it as a user that may, or choose another with --listen", err)
	}
	return err
}

//go:build !slim

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/rpc"
	"github.com/aditmesh/adit/provisioner"
	"github.com/aditmesh/adit/provisioner/terraform"
)

// impliedMirrors are where Terraform looks for providers by itself.
var impliedMirrors = []string{"/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins", "/opt/terraform/plugins"}

type provisionerFlags struct {
	tokenFile, name, dataDir, terraform string
	tags, mirrors                       []string
	slots                               int
	install                             bool
}

func newProvisionerCmd(a *app) *cobra.Command {
	var f provisionerFlags
	cmd := &cobra.Command{
		Use: "provisioner", Short: "Run Terraform for a coordinator on this host",
		Long: `Run Terraform for a coordinator on this host, with the host's cloud credentials.

Templates run as the user who runs this command, and can read what that user can:
give it a user, or a host, of its own. It needs a 'terraform' or 'tofu' of 1.9 or
newer; of several it takes the one that a template's required_version asks for, and
with --install-terraform it installs the one that is missing.

Told to end, by SIGTERM or Ctrl-C, it takes no more jobs and ends when those that
run are over. Told once more, it interrupts them; their states are saved.`,
		Example: `  adit provisioner --url https://adit.example.com --token-file /etc/adit/provisioner.token --slots 4
  adit provisioner --url https://adit.example.com --tag region=eu --tag gpu=yes`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.url == "" {
				return usagef("name the coordinator with --url or ADIT_URL")
			}
			u, err := parseURL(a.url)
			if err != nil {
				return err
			}
			token, err := roleToken("provisioner", a.token, f.tokenFile, "ADIT_PROVISIONER_TOKEN", "'adit provisioners keys create NAME' prints it")
			if err != nil {
				return err
			}
			conf, err := f.config(a.logger(slog.LevelInfo))
			if err != nil {
				return err
			}
			conf.URL, conf.Token, conf.Leave = u, token, cmd.Context().Done()
			if err := hideEnvironment(); err != nil {
				return err
			}
			ctx, stop := untilSecondSignal(cmd.Context())
			defer stop()
			err = provisioner.Run(ctx, conf)
			if errors.Is(err, rpc.ErrUnauthorized) {
				return errors.New("the coordinator does not accept this provisioner's token: wrong, or its key is revoked; 'adit provisioners keys create NAME' makes another")
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.tokenFile, "token-file", os.Getenv("ADIT_PROVISIONER_TOKEN_FILE"), "file that holds the provisioner's token")
	flags.StringVar(&f.name, "name", "", "what people know it by (default: the host's name)")
	flags.StringVar(&f.dataDir, "data-dir", filepath.Join(defaultDataDir(), "provisioner"), "where jobs, provider plugins and undelivered states are kept")
	flags.StringArrayVar(&f.tags, "tag", nil, "KEY=VALUE: it takes the jobs whose tags it all has")
	flags.IntVar(&f.slots, "slots", runtime.NumCPU(), "how many jobs run at once")
	terraformFlags(cmd, &f)
	return cmd
}

// untilSecondSignal returns a context that the second signal ends: the first, which
// ends ctx, lets jobs go on. A third is nobody's, and ends the process.
func untilSecondSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	until, cancel := context.WithCancel(context.WithoutCancel(ctx))
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		defer signal.Stop(signals)
		for range cap(signals) {
			select {
			case <-signals:
			case <-until.Done():
				return
			}
		}
		cancel()
	}()
	return until, cancel
}

// terraformFlags are those that 'adit server' has too.
func terraformFlags(cmd *cobra.Command, f *provisionerFlags) {
	cmd.Flags().StringVar(&f.terraform, "terraform", "", "the terraform or tofu to run, or a directory with several (default: those on PATH)")
	cmd.Flags().BoolVar(&f.install, "install-terraform", os.Getenv("ADIT_INSTALL_TERRAFORM") == "1", "install a Terraform that a template requires and that is not there, from releases.hashicorp.com")
	cmd.Flags().StringArrayVar(&f.mirrors, "provider-mirror", nil, "directory with provider plugins, as 'terraform providers mirror' makes it")
}

// config is the provisioner's but for where the coordinator is.
func (f provisionerFlags) config(log *slog.Logger) (provisioner.Config, error) {
	tags := make(map[string]string)
	for _, t := range f.tags {
		key, value, ok := strings.Cut(t, "=")
		if !ok || key == "" {
			return provisioner.Config{}, usagef("--tag %q: want KEY=VALUE", t)
		}
		tags[key] = value
	}
	if f.slots < 1 {
		return provisioner.Config{}, usagef("--slots %d: want 1 or more", f.slots)
	}
	self, err := os.Executable()
	if err != nil {
		return provisioner.Config{}, fmt.Errorf("find the adit binary: %w", err)
	}
	var releases *terraform.Releases
	if f.install {
		releases = new(terraform.Releases)
	}
	return provisioner.Config{
		Name: f.name, Tags: tags, Slots: f.slots, Dir: f.dataDir, Version: version, Logger: log,
		Terraform: terraform.Config{Exec: f.terraform, Releases: releases, Adit: self, Version: version, Mirrors: mirrorsOr(f.mirrors), Environ: os.Environ()},
	}, nil
}

// mirrorsOr returns the mirrors that are named or, if none is, those that there are.
func mirrorsOr(named []string) []string {
	if len(named) > 0 {
		return named
	}
	var mirrors []string
	for _, dir := range impliedMirrors {
		if _, err := os.Stat(dir); err == nil {
			mirrors = append(mirrors, dir)
		}
	}
	return mirrors
}

// startProvisioners runs the provisioners that are built into a server: one with
// n slots, which speaks to it as any other does, over the loopback. The returned
// function stops it.
func startProvisioners(ctx context.Context, n int, f provisionerFlags, at net.Addr, secure bool, token string, log *slog.Logger) (stop func(), err error) {
	if n == 0 {
		return func() {}, nil
	}
	if err := hideEnvironment(); err != nil {
		return nil, err
	}
	f.name, f.slots = "built-in", n
	conf, err := f.config(log)
	if err != nil {
		return nil, err
	}
	tcp, ok := at.(*net.TCPAddr)
	if !ok {
		return nil, fmt.Errorf("built-in provisioners: no way to %v", at)
	}
	host := tcp.IP
	if host.IsUnspecified() {
		host = net.IPv6loopback
		if tcp.IP.To4() != nil {
			host = net.IPv4(127, 0, 0, 1)
		}
	}
	conf.URL = &url.URL{Scheme: "http", Host: (&net.TCPAddr{IP: host, Port: tcp.Port}).String()}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	if secure {
		conf.URL.Scheme = "https"
		// The certificate names the host that people use. Whoever listens on our
		// own socket is us.
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	conf.Token, conf.HTTPClient = token, &http.Client{Transport: transport}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := provisioner.Run(ctx, conf); err != nil {
			log.Error("built-in provisioners ended; no workspace is built until the server is restarted", "err", err)
		}
		transport.CloseIdleConnections()
	}()
	return func() {
		cancel()
		<-done
	}, nil
}

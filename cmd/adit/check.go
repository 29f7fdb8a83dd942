//go:build !slim

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aditmesh/adit/coordinator"
	"github.com/aditmesh/adit/coordinator/breaker"
	"github.com/aditmesh/adit/coordinator/health"
	"github.com/aditmesh/adit/coordinator/seal"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/postgres"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// checkTimeout bounds what a check asks a neighbour.
	checkTimeout = 15 * time.Second

	// oldestTerraform is the oldest that jobs can run: 1.9.
	oldestTerraformMinor = 9
)

// checkResult is what one look at the configuration, or at a neighbour, said.
type checkResult struct {
	Check  string `json:"check"`
	Status string `json:"status"` // ok, warning or error
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// checkReport is what "adit server --check" prints.
type checkReport struct {
	Status string        `json:"status"`
	Checks []checkResult `json:"checks"`
}

func good(check, detail string, args ...any) checkResult {
	return checkResult{Check: check, Status: sdk.HealthOK, Detail: fmt.Sprintf(detail, args...)}
}

func doubtful(check, fix, detail string, args ...any) checkResult {
	return checkResult{check, sdk.HealthWarning, fmt.Sprintf(detail, args...), fix}
}

func bad(check, fix, detail string, args ...any) checkResult {
	return checkResult{check, sdk.HealthError, fmt.Sprintf(detail, args...), fix}
}

// fromFindings makes results of findings, or a good one if there are none.
func fromFindings(check string, findings []sdk.Finding, detail string, args ...any) []checkResult {
	if len(findings) == 0 {
		return []checkResult{good(check, detail, args...)}
	}
	var list []checkResult
	for _, f := range findings {
		list = append(list, checkResult{check, f.Severity, f.Evidence, f.Fix})
	}
	return list
}

// checkServer validates what a server would be started with, and its neighbours.
// It starts nothing and changes nothing. An error means that something is wrong
// with which the server would not start, or not serve.
func checkServer(ctx context.Context, a *app, f serverFlags) error {
	access, checks := f.checkSettings()
	for _, check := range []func(context.Context) []checkResult{
		f.checkDataDir, f.checkStateKey, f.checkPostgres,
		func(context.Context) []checkResult { return f.checkTLS(access) },
		f.checkPorts, f.checkTerraform, f.checkSignIn,
		func(ctx context.Context) []checkResult { return f.checkAccess(ctx, access) },
	} {
		bounded, cancel := context.WithTimeout(ctx, checkTimeout)
		checks = append(checks, check(bounded)...)
		cancel()
	}
	report := checkReport{Status: sdk.HealthOK, Checks: checks}
	for _, c := range checks {
		if c.Status == sdk.HealthError || c.Status == sdk.HealthWarning && report.Status == sdk.HealthOK {
			report.Status = c.Status
		}
	}
	clean := f.redactor()
	for i, c := range report.Checks {
		report.Checks[i].Detail = clean.Text(c.Detail)
	}
	if err := a.print(report, func(w io.Writer) error { return printChecks(w, report) }); err != nil {
		return err
	}
	if report.Status == sdk.HealthError {
		return exitError(exitFailed)
	}
	return nil
}

func printChecks(w io.Writer, report checkReport) error {
	var rows [][]string
	for _, c := range report.Checks {
		text := c.Detail
		if c.Fix != "" {
			text += "; " + c.Fix
		}
		rows = append(rows, []string{c.Check, c.Status, oneLine(text)})
	}
	return writeTable(w, []string{"CHECK", "STATUS", "DETAIL"}, rows)
}

// checkSettings looks at what the flags say by themselves.
func (f serverFlags) checkSettings() (access *url.URL, list []checkResult) {
	if err := f.validate(); err != nil {
		list = append(list, bad("settings", "correct it", "%v", err))
	}
	if f.accessURL != "" {
		var err error
		if access, err = parseURL(f.accessURL); err != nil {
			list = append(list, bad("settings", "correct it", "--access-url: %v", err))
		}
	}
	if !f.relay {
		list = append(list, doubtful("settings", "leave --relay on unless regional relays are registered", "the embedded relay is off"))
	}
	if len(list) == 0 {
		list = append(list, good("settings", "flags and environment are valid"))
	}
	return access, list
}

func (f serverFlags) checkDataDir(context.Context) []checkResult {
	const check = "data directory"
	info, err := os.Stat(f.dataDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		parent := filepath.Dir(f.dataDir)
		for ; ; parent = filepath.Dir(parent) {
			if _, err := os.Stat(parent); err == nil || parent == filepath.Dir(parent) {
				break
			}
		}
		if !writable(parent) {
			return []checkResult{bad(check, "choose another with --data-dir, or make it", "%s does not exist, and cannot be made below %s", f.dataDir, parent)}
		}
		return fromFindings(check, health.Disk(parent), "%s will be made", f.dataDir)
	case err != nil:
		return []checkResult{bad(check, "choose another with --data-dir", "%v", err)}
	case !info.IsDir():
		return []checkResult{bad(check, "choose another with --data-dir", "%s is no directory", f.dataDir)}
	case !writable(f.dataDir):
		return []checkResult{bad(check, "give it to the user that runs the server, or choose another with --data-dir", "%s cannot be written", f.dataDir)}
	}
	return fromFindings(check, health.Disk(f.dataDir), "%s can be written and has room", f.dataDir)
}

func (f serverFlags) checkStateKey(context.Context) []checkResult {
	const check = "state key"
	if f.keysInEnv() {
		if _, err := seal.Parse(os.Getenv(stateKeyEnv)); err != nil {
			return []checkResult{bad(check, "correct it", "%s: %v", stateKeyEnv, err)}
		}
		return []checkResult{good(check, "in %s", stateKeyEnv)}
	}
	text, err := os.ReadFile(f.keyFile())
	if errors.Is(err, fs.ErrNotExist) {
		return []checkResult{doubtful(check, "if there is a backup of it, restore that first", "%s will be made; states sealed with another key cannot be read", f.keyFile())}
	}
	if err == nil {
		_, err = seal.Parse(string(text))
	}
	if err != nil {
		return []checkResult{bad(check, "restore it from a backup", "%s: %v", f.keyFile(), err)}
	}
	if info, err := os.Stat(f.keyFile()); err == nil && info.Mode().Perm()&0o077 != 0 {
		return []checkResult{doubtful(check, "chmod 600 "+f.keyFile(), "others may read %s", f.keyFile())}
	}
	return []checkResult{good(check, "%s", f.keyFile())}
}

func (f serverFlags) checkPostgres(ctx context.Context) []checkResult {
	const check = "database"
	if f.postgresURL != "" {
		return checkDatabase(ctx, f.postgresURL, "")
	}
	in, err := postgres.Inspect(ctx, f.dataDir)
	if err != nil {
		return []checkResult{bad(check, "install Postgres, or give --postgres-url", "%v", err)}
	}
	private := fmt.Sprintf("private Postgres %d in %s", in.Version, in.Binaries)
	switch {
	case in.URL != "":
		return checkDatabase(ctx, in.URL, private+", run by another adit server: ")
	case in.Cluster:
		return []checkResult{good(check, "%s, with a cluster", private)}
	default:
		return []checkResult{good(check, "%s; a cluster will be made", private)}
	}
}

func checkDatabase(ctx context.Context, url, prefix string) []checkResult {
	const check = "database"
	in, err := store.Inspect(ctx, url)
	switch {
	case err != nil:
		return []checkResult{bad(check, "start it, and check --postgres-url", "%s%v", prefix, err)}
	case in.Unknown > 0:
		return []checkResult{bad(check, "use that release, or restore a backup from before it", "%sa newer release of adit has changed the schema", prefix)}
	case len(in.Pending) > 0:
		return []checkResult{doubtful(check, "back it up before the server is started", "%sPostgres %s; %d migrations are pending, the first %s", prefix, in.Version, len(in.Pending), in.Pending[0])}
	}
	return []checkResult{good(check, "%sPostgres %s, schema up to date", prefix, in.Version)}
}

func (f serverFlags) checkTLS(access *url.URL) []checkResult {
	const check = "certificate"
	switch cert, err := f.certificate(slog.New(slog.DiscardHandler)); {
	case err != nil:
		return []checkResult{bad(check, "correct --tls-cert and --tls-key", "%v", err)}
	case cert == nil && access != nil && access.Scheme == "https":
		return []checkResult{good(check, "none; a proxy in front serves HTTPS")}
	case cert == nil:
		return []checkResult{good(check, "none; plain HTTP is served")}
	default:
		leaf := cert.Leaf()
		return fromFindings(check, health.Certificate(leaf, access, time.Now()), "for %s until %s", strings.Join(leaf.DNSNames, ", "), leaf.NotAfter.Format(time.DateOnly))
	}
}

// checkPorts takes each port for a moment.
func (f serverFlags) checkPorts(ctx context.Context) []checkResult {
	var list []checkResult
	try := func(flag, network, addr string, taken func(string, string, string, ...any) checkResult) {
		check := "port " + addr + " " + network
		var closer io.Closer
		var err error
		if network == "tcp" {
			closer, err = new(net.ListenConfig).Listen(ctx, network, addr)
		} else {
			closer, err = new(net.ListenConfig).ListenPacket(ctx, network, addr)
		}
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			list = append(list, taken(check, "stop what has it (it may be this server), or choose another with "+flag, "taken by another program"))
		case err != nil:
			list = append(list, bad(check, "choose another with "+flag, "%v", err))
		default:
			list = append(list, good(check, "free"))
			closer.Close()
		}
	}
	try("--listen", "tcp", f.listen, bad)
	for flag, addr := range map[string]string{"--metrics-listen": f.metricsListen, "--debug-listen": f.debugListen} {
		if addr != "" {
			try(flag, "tcp", addr, bad)
		}
	}
	if host, _, err := net.SplitHostPort(f.listen); err == nil && f.relay {
		for _, p := range f.stunPorts { // the server takes others
			try("--stun-ports", "udp", net.JoinHostPort(host, strconv.Itoa(int(p))), doubtful)
		}
	}
	slices.SortStableFunc(list, func(a, b checkResult) int { return strings.Compare(a.Check, b.Check) })
	return list
}

func (f serverFlags) checkTerraform(ctx context.Context) []checkResult {
	const check = "terraform"
	if f.provisioners == 0 {
		return []checkResult{good(check, "not needed: there are no built-in provisioners")}
	}
	name := f.provisioner.terraform
	if name == "" {
		name = "terraform"
	}
	const fix = "install Terraform 1.9 or newer, name one with --terraform, or turn built-in provisioners off with --provisioners 0"
	path, err := exec.LookPath(name)
	if err != nil {
		return []checkResult{doubtful(check, fix, "there is none: no workspace can be made from a template here")}
	}
	out, err := exec.CommandContext(ctx, path, "version", "-json").Output()
	var v struct {
		Version string `json:"terraform_version"`
	}
	if err == nil {
		err = json.Unmarshal(out, &v)
	}
	if err != nil {
		return []checkResult{bad(check, fix, "%s does not say its version: %v", path, err)}
	}
	var major, minor int
	if _, err := fmt.Sscanf(v.Version, "%d.%d", &major, &minor); err != nil || major < 1 || major == 1 && minor < oldestTerraformMinor {
		return []checkResult{bad(check, fix, "%s is version %s, which is too old", path, v.Version)}
	}
	return []checkResult{good(check, "%s, version %s", path, v.Version)}
}

// checkSignIn asks those whom people sign in with. The server starts without them,
// and nobody gets in by them.
func (f serverFlags) checkSignIn(ctx context.Context) []checkResult {
	conf := coordinator.Config{Breakers: breaker.NewRegistry(nil)}
	if err := f.signIn.configure(&conf); err != nil {
		return []checkResult{bad("sign-in", "correct it", "%v", err)}
	}
	if len(conf.Providers) == 0 {
		return []checkResult{good("sign-in", "by password alone")}
	}
	var list []checkResult
	for _, p := range conf.Providers {
		check := "sign-in by " + p.Name()
		if err := p.Check(ctx); err != nil {
			list = append(list, bad(check, "correct --"+p.Name()+"-… flags, or mend the way there", "%v", err))
			continue
		}
		list = append(list, good(check, "%s answers as it should", p.Title()))
	}
	return list
}

// checkAccess looks where the access URL leads. Nobody need answer there yet.
func (f serverFlags) checkAccess(ctx context.Context, access *url.URL) []checkResult {
	const check = "access URL"
	if access == nil {
		return []checkResult{doubtful(check, "give --access-url, so that workspaces know where their coordinator is", "none: agents use whatever URL a client came by")}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	defer transport.CloseIdleConnections()
	if _, err := net.DefaultResolver.LookupHost(ctx, access.Hostname()); err != nil {
		return []checkResult{bad(check, "correct --access-url, or its DNS record", "%v", err)}
	}
	findings := health.Prober{Transport: transport, Breakers: breaker.NewRegistry(nil)}.Reach(ctx, access)
	results := fromFindings(check, findings, "a coordinator answers at %s, WebSockets get through", access.Redacted())
	for i, c := range results {
		if findings != nil && findings[i].Code == health.AccessURLUnreachable { // before the first start nobody is there
			results[i] = doubtful(check, "that is right while the server does not run; else: "+c.Fix, "%s", c.Detail)
		}
	}
	return results
}

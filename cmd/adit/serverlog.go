//go:build !slim

package main

import (
	"context"
	"io"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"github.com/aditmesh/adit/coordinator/metrics"
	"github.com/aditmesh/adit/coordinator/request"
	"github.com/aditmesh/adit/coordinator/support"
	"github.com/aditmesh/adit/pkg/redact"
)

// serverLogger logs to stderr and to a ring of the last lines, without secrets,
// and with the id of the request that a line is about.
func (a *app) serverLogger(f serverFlags) (*slog.Logger, *support.Ring, error) {
	ring := new(support.Ring)
	to := f.redactor().Writer(io.MultiWriter(a.err, ring))
	opts := &slog.HandlerOptions{Level: slog.LevelInfo}
	if a.verbose {
		opts.Level = slog.LevelDebug
	}
	var h slog.Handler
	switch f.logFormat {
	case "text":
		h = slog.NewTextHandler(to, opts)
	case "json":
		h = slog.NewJSONHandler(to, opts)
	default:
		return nil, nil, usagef("--log-format %q: want text or json", f.logFormat)
	}
	return slog.New(request.LogHandler(h)), ring, nil
}

// redactor knows the secrets that the server was started with, and those in the
// key file if it is there already.
func (f serverFlags) redactor() *redact.Redactor {
	var secrets []string
	for _, kv := range os.Environ() {
		if name, value, _ := strings.Cut(kv, "="); secretName.MatchString(name) && !strings.HasPrefix(value, "/") {
			secrets = append(secrets, value)
		}
	}
	if keys, err := os.ReadFile(f.keyFile()); err == nil {
		secrets = append(secrets, string(keys))
	}
	// A password in quotes, or in an option of the query, is known by its look.
	for _, text := range []string{f.postgresURL, f.accessURL} {
		if u, err := url.Parse(text); err == nil && u.User != nil {
			password, _ := u.User.Password()
			secrets = append(secrets, password)
		}
	}
	return redact.New(secrets...)
}

// secretName matches variables of the environment that hold a secret.
var secretName = regexp.MustCompile(`(?i)(TOKEN|SECRET|PASSWORD|PASSWD|STATE_KEY|PRIVATE_KEY|ACCESS_KEY|API_KEY|CREDENTIAL)`)

// settingsOf lists the flags of a command as they are in force.
func settingsOf(flags *pflag.FlagSet) map[string]string {
	settings := make(map[string]string)
	flags.VisitAll(func(f *pflag.Flag) { settings[f.Name] = f.Value.String() })
	return settings
}

// openPrivate opens the ports that strangers must not reach.
func openPrivate(ctx context.Context, f serverFlags, counts *metrics.Metrics, log *slog.Logger) (stop func(), err error) {
	stopMetrics, err := privatePort{"--metrics-listen", f.metricsListen, metricsHandler(counts.Handler(log))}.open(ctx, log)
	if err != nil {
		return nil, err
	}
	stopDebug, err := privatePort{"--debug-listen", f.debugListen, debugHandler()}.open(ctx, log)
	if err != nil {
		stopMetrics()
		return nil, err
	}
	return func() {
		stopDebug()
		stopMetrics()
	}, nil
}

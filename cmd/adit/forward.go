package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/aditmesh/adit/agent/port"
)

// forward is one -L, -R or -D of ssh.
type forward struct {
	kind   byte   // 'L', 'R' or 'D'
	listen string // "host:port", or a socket's path
	to     string // as listen; empty for D
}

// network is that of one end of a forward.
func network(end string) string {
	if strings.Contains(end, "/") {
		return "unix"
	}
	return "tcp"
}

// parseForwards reads the values of -L, -R and -D.
func parseForwards(local, remote, dynamic []string) ([]forward, error) {
	var all []forward
	for kind, specs := range map[byte][]string{'L': local, 'R': remote, 'D': dynamic} {
		for _, spec := range specs {
			f, err := parseForward(kind, spec)
			if err != nil {
				return nil, usageError{err}
			}
			all = append(all, f)
		}
	}
	return all, nil
}

var errForward = errors.New("want [BIND:]PORT:HOST:PORT, where a path with a slash may stand for either end, or [BIND:]PORT for -D")

// parseForward reads "[BIND:]PORT:HOST:PORT", or "[BIND:]PORT" for D. IPv6
// addresses stand in brackets. Without BIND it is loopback.
func parseForward(kind byte, spec string) (forward, error) {
	parts, err := splitColons(spec)
	if err != nil {
		return forward{}, fmt.Errorf("-%c %q: %w", kind, spec, err)
	}
	f := forward{kind: kind}
	ok := true
	if kind != 'D' {
		f.to, parts, ok = farEnd(parts)
	}
	if ok {
		f.listen, ok = nearEnd(parts, kind)
	}
	if !ok {
		return forward{}, fmt.Errorf("-%c %q: %w", kind, spec, errForward)
	}
	return f, nil
}

// farEnd takes HOST:PORT or a path from the end.
func farEnd(parts []string) (to string, rest []string, ok bool) {
	n := len(parts)
	switch {
	case n > 1 && network(parts[n-1]) == "unix":
		return parts[n-1], parts[:n-1], true
	case n > 2 && isPort(parts[n-1]) && parts[n-2] != "" && network(parts[n-2]) == "tcp":
		return net.JoinHostPort(parts[n-2], parts[n-1]), parts[:n-2], true
	}
	return "", nil, false
}

// nearEnd reads [BIND:]PORT or, unless it is for SOCKS, a path. The port 0 is for
// the far end to choose.
func nearEnd(parts []string, kind byte) (listen string, ok bool) {
	bind := "localhost"
	switch len(parts) {
	case 1:
		if kind != 'D' && network(parts[0]) == "unix" {
			return parts[0], true
		}
	case 2:
		if bind = parts[0]; bind == "*" {
			bind = ""
		}
	default:
		return "", false
	}
	port := parts[len(parts)-1]
	return net.JoinHostPort(bind, port), network(bind) == "tcp" && (isPort(port) || kind == 'R' && port == "0")
}

// splitColons splits at colons outside brackets, which it takes off.
func splitColons(s string) ([]string, error) {
	var parts []string
	for {
		if strings.HasPrefix(s, "[") {
			inside, rest, ok := strings.Cut(s[1:], "]")
			if !ok || rest != "" && rest[0] != ':' {
				return nil, errForward
			}
			parts = append(parts, inside)
			if rest == "" {
				return parts, nil
			}
			s = rest[1:]
			continue
		}
		part, rest, more := strings.Cut(s, ":")
		parts = append(parts, part)
		if !more {
			return parts, nil
		}
		s = rest
	}
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// forwards are the listeners of forwards under way, and their connections.
type forwards struct {
	listeners []net.Listener
	cancel    context.CancelFunc
	wg        sync.WaitGroup
}

// Close ends listeners and connections and waits for them.
func (f *forwards) Close() {
	f.cancel()
	for _, l := range f.listeners {
		l.Close()
	}
	f.wg.Wait()
}

// startForwards listens for all forwards; one that cannot is an error.
func startForwards(ctx context.Context, client *ssh.Client, specs []forward, log *slog.Logger) (*forwards, error) {
	ctx, cancel := context.WithCancel(ctx)
	fs := &forwards{cancel: cancel}
	for _, spec := range specs {
		var l net.Listener
		var err error
		dial := new(net.Dialer).DialContext
		if spec.kind == 'R' {
			l, err = client.Listen(network(spec.listen), spec.listen)
		} else {
			l, err = net.Listen(network(spec.listen), spec.listen)
			dial = client.DialContext
		}
		if err != nil {
			fs.Close()
			return nil, fmt.Errorf("-%c: listen on %s: %w", spec.kind, spec.listen, err)
		}
		if spec.kind == 'R' && strings.HasSuffix(spec.listen, ":0") {
			log.Info("listening there", "address", l.Addr(), "to", spec.to)
		}
		fs.listeners = append(fs.listeners, l)
		fs.wg.Go(func() {
			fs.accept(l, func(conn net.Conn) {
				to := spec.to
				if spec.kind == 'D' {
					var err error
					if to, err = socksRequest(conn); err != nil {
						log.Debug("SOCKS request refused", "err", err)
						conn.Close()
						return
					}
				}
				far, err := dial(ctx, network(to), to)
				if spec.kind == 'D' {
					err = errors.Join(err, socksReply(conn, err == nil))
				}
				if err != nil {
					log.Warn("forward refused", "to", to, "err", err)
					conn.Close()
					return
				}
				joinConns(ctx, conn, far)
			})
		})
	}
	return fs, nil
}

// accept calls serve, in a goroutine each, for the connections of l until it
// closes.
func (f *forwards) accept(l net.Listener, serve func(net.Conn)) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return // closed, here or by the far end
		}
		f.wg.Go(func() { serve(conn) })
	}
}

// joinConns copies both ways until both ends have ended, or ctx has.
func joinConns(ctx context.Context, a, b net.Conn) {
	stop := context.AfterFunc(ctx, func() {
		a.Close()
		b.Close()
	})
	defer stop()
	port.Join(a, b)
}

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
	listen string // "host:port"
	to     string // "host:port"; empty for D
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

var errForward = errors.New("want [BIND:]PORT:HOST:PORT, or [BIND:]PORT for -D")

// parseForward reads "[BIND:]PORT:HOST:PORT", or "[BIND:]PORT" for D. IPv6
// addresses stand in brackets. Without BIND it is loopback.
func parseForward(kind byte, spec string) (forward, error) {
	parts, err := splitColons(spec)
	if err != nil {
		return forward{}, fmt.Errorf("-%c %q: %w", kind, spec, err)
	}
	f := forward{kind: kind}
	want := 3
	if kind == 'D' {
		want = 1
	}
	bind := "localhost"
	switch len(parts) {
	case want:
	case want + 1:
		bind, parts = parts[0], parts[1:]
		if bind == "*" {
			bind = ""
		}
	default:
		return forward{}, fmt.Errorf("-%c %q: %w", kind, spec, errForward)
	}
	if !isPort(parts[0]) || kind != 'D' && (!isPort(parts[2]) || parts[1] == "") {
		return forward{}, fmt.Errorf("-%c %q: %w", kind, spec, errForward)
	}
	f.listen = net.JoinHostPort(bind, parts[0])
	if kind != 'D' {
		f.to = net.JoinHostPort(parts[1], parts[2])
	}
	return f, nil
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
			l, err = client.Listen("tcp", spec.listen)
		} else {
			l, err = net.Listen("tcp", spec.listen)
			dial = client.DialContext
		}
		if err != nil {
			fs.Close()
			return nil, fmt.Errorf("-%c: listen on %s: %w", spec.kind, spec.listen, err)
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
				far, err := dial(ctx, "tcp", to)
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

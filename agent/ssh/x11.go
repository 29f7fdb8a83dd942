package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// firstDisplay and lastDisplay are the numbers of forwarded displays: those
	// below are for displays of the host itself.
	firstDisplay, lastDisplay = 10, 999

	// x11Port is the port of display 0.
	x11Port = 6000

	// xauthTimeout is how long xauth may take: it waits for a lock that somebody
	// may have left behind.
	xauthTimeout = 5 * time.Second
)

// x11Request is the request of RFC 4254, section 6.3.1.
type x11Request struct {
	Single           bool
	Protocol, Cookie string
	Screen           uint32
}

// What xauth is told has to be what it is taken for.
var (
	x11Protocol = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	x11Cookie   = regexp.MustCompile(`^([0-9A-Fa-f]{2}){1,128}$`)
)

// forwardX11 opens a display here that is the client's, until the session ends, and
// returns what its program needs to know. The cookie is one that the client made
// up for it.
func (s *session) forwardX11(req x11Request) (env []string, err error) {
	switch {
	case s.conn.server.cfg.Policy.NoForwarding:
		return nil, errForbidden
	case !x11Protocol.MatchString(req.Protocol) || !x11Cookie.MatchString(req.Cookie):
		return nil, errors.New("a cookie that xauth would not take")
	}
	l, display, err := listenX11()
	if err != nil {
		return nil, err
	}
	env, err = s.addCookie(req, display)
	if err != nil {
		l.Close()
		return nil, err
	}
	context.AfterFunc(s.ctx, func() { l.Close() })
	s.conn.accept(l, func(conn net.Conn) {
		if req.Single {
			l.Close()
		}
		from := conn.RemoteAddr().(*net.TCPAddr)
		s.conn.offer(conn, "x11", ssh.Marshal(struct {
			Origin string
			Port   uint32
		}{from.IP.String(), uint32(from.Port)}))
	})
	return append(env, fmt.Sprintf("DISPLAY=localhost:%d.%d", display, req.Screen)), nil
}

// listenX11 listens on the first display that is free, for this host alone.
func listenX11() (l net.Listener, display int, err error) {
	for display = firstDisplay; display <= lastDisplay; display++ {
		l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", x11Port+display))
		if err == nil {
			return l, display, nil
		}
	}
	return nil, 0, fmt.Errorf("no display is free: %w", err)
}

// addCookie tells programs what to show the display, in the user's own file, or, in
// a home that cannot be written to, in another that it returns.
func (s *session) addCookie(req x11Request, display int) (env []string, err error) {
	own := s.xauth(req, display)
	if own == nil {
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "adit-x11-*")
	if err != nil {
		return nil, errors.Join(own, err)
	}
	env = []string{"XAUTHORITY=" + filepath.Join(dir, "xauthority")}
	if err := s.xauth(req, display, env...); err != nil {
		return nil, errors.Join(own, err, os.RemoveAll(dir))
	}
	context.AfterFunc(s.ctx, func() { _ = os.RemoveAll(dir) }) // it is of no use to anybody
	return env, nil
}

// xauth adds the cookie to the file that env names.
func (s *session) xauth(req x11Request, display int, env ...string) error {
	ctx, cancel := context.WithTimeout(s.ctx, xauthTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "xauth", "-q", "-")
	cmd.Env = append(s.environ(), env...)
	cmd.Stdin = strings.NewReader(fmt.Sprintf("remove unix:%[1]d.%[2]d\nadd unix:%[1]d.%[2]d %[3]s %[4]s\n", display, req.Screen, req.Protocol, req.Cookie))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := s.conn.server.cfg.Start.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("xauth: %w: %s", err, &out)
	}
	return nil
}

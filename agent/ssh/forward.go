package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aditmesh/adit/agent/stats"
)

// dialTimeout is how long a forwarded connection may take to be made.
const dialTimeout = 30 * time.Second

// errForbidden is what the template has forbidden.
var errForbidden = errors.New("the workspace's template forbids it")

// forward carries a connection that the client opened (-L, -D, -W): to a port, or
// to a socket.
func (c *connection) forward(nc ssh.NewChannel) {
	if c.server.cfg.Policy.NoForwarding {
		_ = nc.Reject(ssh.Prohibited, errForbidden.Error())
		return
	}
	network, addr, err := destination(nc)
	if err != nil {
		_ = nc.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	if network == "unix" {
		addr = c.server.atHome(addr)
	}
	ctx, cancel := context.WithTimeout(c.ctx, dialTimeout)
	defer cancel()
	far, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		_ = nc.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	ch, reqs, err := nc.Accept()
	if err != nil {
		far.Close()
		return
	}
	go ssh.DiscardRequests(reqs) // ends with the channel
	c.join(far, c.count(stats.Forward, ch, c.forwarding()))
}

// destination reads where a channel is to lead.
func destination(nc ssh.NewChannel) (network, addr string, err error) {
	if nc.ChannelType() == "direct-tcpip" {
		var to struct {
			Host       string
			Port       uint32
			Origin     string
			OriginPort uint32
		}
		if err := ssh.Unmarshal(nc.ExtraData(), &to); err != nil {
			return "", "", fmt.Errorf("where to: %w", err)
		}
		return "tcp", net.JoinHostPort(to.Host, strconv.FormatUint(uint64(to.Port), 10)), nil
	}
	var to struct {
		Path, Reserved0 string
		Reserved1       uint32
	}
	if err := ssh.Unmarshal(nc.ExtraData(), &to); err != nil {
		return "", "", fmt.Errorf("where to: %w", err)
	}
	return "unix", to.Path, nil
}

// atHome is where a path leads that is not absolute.
func (s *Server) atHome(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.cfg.Account.Home, path)
}

// join copies between a connection and a channel, each way until its end, and
// closes both; at once when the client is gone.
func (c *connection) join(conn net.Conn, ch ssh.Channel) {
	stop := context.AfterFunc(c.ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	defer ch.Close()
	var wg sync.WaitGroup
	wg.Go(func() { copyHalf(ch, conn) })
	wg.Go(func() {
		if half, ok := conn.(writeCloser); ok {
			copyHalf(half, ch)
		}
	})
	wg.Wait()
}

// writeCloser is one direction of what has two.
type writeCloser interface {
	io.WriteCloser
	CloseWrite() error
}

func copyHalf(dst writeCloser, src io.ReadCloser) {
	if _, err := io.Copy(dst, src); err != nil {
		// One side is broken: nothing that the other sends will arrive.
		dst.Close()
		src.Close()
		return
	}
	_ = dst.CloseWrite() // a broken dst shows in the other direction
}

// bindTCP is the request of RFC 4254, section 7.1.
type bindTCP struct {
	Host string
	Port uint32
}

func (b bindTCP) key() string {
	return net.JoinHostPort(b.Host, strconv.FormatUint(uint64(b.Port), 10))
}

// listenTCP listens for a client's -R, and returns the port if it chose one. The
// client says which of the workspace's addresses: its own are the user's to open.
func (c *connection) listenTCP(payload []byte) (bool, []byte) {
	var b bindTCP
	if ssh.Unmarshal(payload, &b) != nil || b.Port > 65535 || c.server.cfg.Policy.NoForwarding {
		return false, nil
	}
	chosen := b.Port == 0
	listeners, err := listenOn(b)
	if err != nil {
		c.server.log.Info("a port cannot be forwarded", "address", b.key(), "err", err)
		return false, nil
	}
	b.Port = uint32(listeners[0].Addr().(*net.TCPAddr).Port)
	if !c.keep(b.key(), listeners) {
		return false, nil
	}
	for _, l := range listeners {
		c.accept(l, func(conn net.Conn) {
			from := conn.RemoteAddr().(*net.TCPAddr)
			c.offer(conn, "forwarded-tcpip", ssh.Marshal(struct {
				Host       string
				Port       uint32
				Origin     string
				OriginPort uint32
			}{b.Host, b.Port, from.IP.String(), uint32(from.Port)}))
		})
	}
	if chosen {
		return true, ssh.Marshal(struct{ Port uint32 }{b.Port})
	}
	return true, nil
}

// listenOn listens where a client asks. "localhost" is both of its addresses, and
// without the second it is one; nothing, or a star, is everywhere.
func listenOn(b bindTCP) (listeners, error) {
	hosts := []string{b.Host}
	switch b.Host {
	case "localhost":
		hosts = []string{"127.0.0.1", "::1"}
	case "*":
		hosts = []string{""}
	}
	var all listeners
	for _, host := range hosts {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.FormatUint(uint64(b.Port), 10)))
		switch {
		case err == nil:
			all = append(all, l)
			b.Port = uint32(l.Addr().(*net.TCPAddr).Port)
		case len(all) == 0:
			return nil, err
		}
	}
	return all, nil
}

func (c *connection) cancelTCP(payload []byte) bool {
	var b bindTCP
	return ssh.Unmarshal(payload, &b) == nil && c.cancelForward(b.key())
}

// bindUnix is a request of OpenSSH's, described in its file PROTOCOL.
type bindUnix struct{ Path string }

func (b bindUnix) key() string { return "unix:" + b.Path }

// listenUnix listens on a socket for a client's -R.
func (c *connection) listenUnix(payload []byte) bool {
	var b bindUnix
	if ssh.Unmarshal(payload, &b) != nil || b.Path == "" || c.server.cfg.Policy.NoForwarding {
		return false
	}
	l, err := listenSocket(c.server.atHome(b.Path))
	if err != nil {
		c.server.log.Info("a socket cannot be forwarded", "path", b.Path, "err", err)
		return false
	}
	if !c.keep(b.key(), listeners{l}) {
		return false
	}
	c.accept(l, func(conn net.Conn) {
		c.offer(conn, "forwarded-streamlocal@openssh.com", ssh.Marshal(struct{ Path, Reserved string }{b.Path, ""}))
	})
	return true
}

// listenSocket listens on a path for its owner alone. A socket that is there goes,
// as with sshd's StreamLocalBindUnlink: whoever left it behind will not come back
// for it. Anything else stays.
func listenSocket(path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	made, err := os.Lstat(path)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	return &socket{Listener: l, path: path, made: made}, nil
}

// socket takes its file along, unless another has taken its place.
type socket struct {
	net.Listener
	path string
	made os.FileInfo
}

func (s *socket) Close() error {
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(s.made, now) {
		_ = os.Remove(s.path) // what stays is replaced by the next one
	}
	return s.Listener.Close()
}

func (c *connection) cancelUnix(payload []byte) bool {
	var b bindUnix
	return ssh.Unmarshal(payload, &b) == nil && c.cancelForward(b.key())
}

// listeners are those of one forward.
type listeners []net.Listener

func (ls listeners) Close() error {
	var err error
	for _, l := range ls {
		err = errors.Join(err, l.Close())
	}
	return err
}

// keep notes what listens for the client, unless something does by that name, or
// the client is gone.
func (c *connection) keep(key string, ls listeners) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forwards[key] != nil || c.ctx.Err() != nil {
		ls.Close()
		return false
	}
	c.forwards[key] = ls
	return true
}

func (c *connection) cancelForward(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ls, ok := c.forwards[key]
	if !ok {
		return false
	}
	delete(c.forwards, key)
	ls.Close()
	return true
}

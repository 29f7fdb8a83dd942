package ssh

import (
	"net"
	"time"

	gssh "github.com/gliderlabs/ssh"
	"golang.org/x/crypto/ssh"
)

const (
	// defaultAliveEvery is how often a client is asked whether it is still
	// there. Longer than the two minutes after which an idle path is left
	// alone, so that a session nobody types in keeps no NAT busy.
	defaultAliveEvery = 5 * time.Minute

	// defaultAliveFor is how long its answer may take: a laptop that sleeps
	// through lunch keeps its session, and one that does not come back loses
	// it together with its tunnel.
	defaultAliveFor = 15 * time.Minute
)

// keepAlive ends conn when its client is gone without a word: killed, or cut
// off. TCP would never notice, as long as there is nothing to send, and the
// processes of its sessions would stay for ever.
func (s *Server) keepAlive(ctx gssh.Context, conn net.Conn) net.Conn {
	began := time.Now()
	s.sessions.Go(func() {
		for alive := true; alive; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(s.cfg.AliveEvery):
			}
			alive = s.answers(ctx, began)
		}
		s.log.Info("ssh client is gone; its sessions end", "from", conn.RemoteAddr())
		_ = conn.Close() // it may have closed meanwhile
	})
	return conn
}

// answers reports whether the client answers in time, or is still in time to
// shake hands.
func (s *Server) answers(ctx gssh.Context, began time.Time) bool {
	client, ok := ctx.Value(gssh.ContextKeyConn).(*ssh.ServerConn)
	if !ok {
		return time.Since(began) < s.cfg.AliveFor
	}
	answered := make(chan error, 1)
	go func() { // ends with an answer, or with the connection
		_, _, err := client.SendRequest("keepalive@openssh.com", true, nil)
		answered <- err
	}()
	select {
	case err := <-answered:
		return err == nil
	case <-ctx.Done():
		return true // it ended by itself
	case <-time.After(s.cfg.AliveFor):
		return false
	}
}

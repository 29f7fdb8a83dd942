package ssh

import "time"

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

// keepAlive ends the connection when its client is gone without a word: killed, or
// cut off. TCP would never notice, as long as there is nothing to send, and the
// processes of its sessions would stay for ever.
func (c *connection) keepAlive() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(c.server.cfg.AliveEvery):
		}
		if !c.answers() {
			c.server.log.Info("ssh client is gone; its sessions end", "from", c.RemoteAddr())
			_ = c.Close() // it may have closed meanwhile
			return
		}
	}
}

// answers reports whether the client answers in time.
func (c *connection) answers() bool {
	answered := make(chan error, 1)
	go func() { // ends with an answer, or with the connection
		_, _, err := c.SendRequest("keepalive@openssh.com", true, nil)
		answered <- err
	}()
	select {
	case err := <-answered:
		return err == nil
	case <-c.ctx.Done():
		return true // it ended by itself
	case <-time.After(c.server.cfg.AliveFor):
		return false
	}
}

package ssh

import (
	"errors"
	"io"

	"github.com/pkg/sftp"
)

// serveSFTP serves the file transfer subsystem, which scp uses, with the
// account's home as its working directory.
func (s *session) serveSFTP() {
	srv, err := sftp.NewServer(s.ch, sftp.WithServerWorkingDirectory(s.conn.server.cfg.Account.Home))
	if err == nil {
		err = srv.Serve()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.conn.server.log.Info("sftp ended", "err", err)
		s.sendExitCode(1)
		return
	}
	s.sendExitCode(0)
}

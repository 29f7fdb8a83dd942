package ssh

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"

	"github.com/pkg/sftp"
)

const (
	// readAhead is how much of a client's requests is read at once: what a pipe holds.
	readAhead = 64 << 10

	// collectEvery is after how many bytes of garbage it is collected at most. The
	// process holds next to nothing, so that it would be after each 4 MB, which took
	// a third of its time.
	collectEvery = 16 << 20
)

// ServeFiles is the file transfer subsystem, as a process of its own that begins at
// home, as sshd's is: relative names are then what the system takes them for, links
// say what the client had them say, and what a client makes it remember, a directory
// of millions, ends with it.
func ServeFiles(in io.Reader, out io.WriteCloser) error {
	ballast := make([]byte, collectEvery) // counts as held, and takes no memory until it is written to
	defer runtime.KeepAlive(&ballast)
	answers := &sftpAnswers{WriteCloser: out}
	srv, err := sftp.NewServer(struct {
		io.Reader
		io.WriteCloser
	}{&sftpRequests{from: bufio.NewReaderSize(in, readAhead), answers: answers}, answers}, sftp.WithAllocator(), sftp.WithMaxTxPacket(mostFile))
	if err == nil {
		err = srv.Serve()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("ssh: serve files: %w", err)
	}
	return nil
}

// serveSFTP runs the file transfer subsystem, which scp uses.
func (s *session) serveSFTP() {
	cfg := s.conn.server.cfg
	cmd := exec.Command(cfg.FileServer[0], cfg.FileServer[1:]...)
	cmd.Env, cmd.Dir = s.environ(), cfg.Account.Home
	s.sendExit(cfg.FileServer[0], s.runOnPipes(cmd))
}

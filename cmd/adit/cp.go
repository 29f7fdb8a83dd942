package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/agent/files"
	"github.com/aditmesh/adit/pkg/foreign"
	"github.com/aditmesh/adit/pkg/sdk"
)

// copied is what cp has done.
type copied struct {
	Files   int64   `json:"files"`
	Bytes   int64   `json:"bytes"`
	Resumed int64   `json:"resumed_bytes"`
	Seconds float64 `json:"seconds"`
}

func newCpCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "cp SRC… DST", Short: "Copy files and directories to or from a workspace",
		Long: `One side is WS:PATH, where PATH begins at the home directory unless it is
absolute. Directories come with all that is in them; modes and times stay. A file
takes its place when it is whole, and a copy that broke off goes on where it was.`,
		Example: `  adit cp dev:app/report.pdf .
  adit cp -r dev:app/build .
  adit cp model.bin data dev:work/
  adit cp alice/dev:/var/log/app.log logs/`,
		Args: args(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			t, err := parseTransfer(argv)
			if err != nil {
				return err
			}
			return a.transfer(cmd.Context(), t)
		},
	}
	a.pathFlags(cmd)
	// As with scp, so that fingers that know it need not learn.
	cmd.Flags().BoolP("recursive", "r", true, "directories come with all that is in them, with or without this")
	return cmd
}

// transfer is what cp is asked for: one end of it is here.
type transfer struct {
	workspace string
	up        bool
	from      []string
	to        string
	intoDir   bool // to is a directory, it says
}

// drive is how a path on Windows may begin.
var drive = regexp.MustCompile(`^[A-Za-z]:[\\/]`)

// remotePath splits WS:PATH, and reports whether text is that. What begins as a path
// is one, whatever colons are in it.
func remotePath(text string) (workspace, name string, ok bool) {
	workspace, name, ok = strings.Cut(text, ":")
	if !ok || drive.MatchString(text) || strings.HasPrefix(text, ".") || strings.HasPrefix(text, "/") || strings.HasPrefix(text, "~") {
		return "", "", false
	}
	if _, err := sdk.ParseWorkspaceName(strings.TrimSuffix(workspace, meshSuffix)); err != nil {
		return "", "", false
	}
	if name == "~" || strings.HasPrefix(name, "~/") {
		name = strings.TrimLeft(name[1:], "/")
	}
	if name == "" {
		name = "."
	}
	return workspace, name, true
}

// parseTransfer reads SRC… DST.
func parseTransfer(argv []string) (transfer, error) {
	last := argv[len(argv)-1]
	t := transfer{to: last}
	if workspace, name, ok := remotePath(last); ok {
		t.workspace, t.to, t.up = workspace, name, true
	}
	t.intoDir = strings.HasSuffix(t.to, "/") || t.to == "." || t.to == ".."
	for _, src := range argv[:len(argv)-1] {
		workspace, name, remote := remotePath(src)
		switch {
		case remote == t.up && remote:
			return t, usagef("%s and %s are both in workspaces; copy by way of here, or with scp or rsync in one of them", src, last)
		case remote == t.up:
			return t, usagef("neither %s nor %s is in a workspace; one side has to be WS:PATH", src, last)
		case remote && t.workspace != "" && t.workspace != workspace:
			return t, usagef("%s and %s are two workspaces; copy from one at a time", t.workspace, workspace)
		case remote:
			t.workspace = workspace
		default:
			name = src
		}
		t.from = append(t.from, name)
	}
	return t, nil
}

// transfer copies, over one SFTP session.
func (a *app) transfer(ctx context.Context, t transfer) error {
	target, err := a.connect(ctx, t.workspace, connectTimeout)
	if err != nil {
		return err
	}
	defer target.node.Close()
	remote, done, err := a.openFiles(ctx, target)
	if err != nil {
		return err
	}
	defer done()
	c := &files.Copy{From: remote, To: files.Local{}, Skipped: func(name, why string) {
		fmt.Fprintf(a.err, "left out: %s: %s\n", foreign.Printable(name), why)
	}}
	if t.up {
		c.From, c.To = c.To, c.From
	}
	stop := context.AfterFunc(ctx, done) // whatever it waits for
	defer stop()
	began := time.Now()
	if err := a.shown(c, began, func() error { return t.run(ctx, c) }); err != nil {
		return err
	}
	n, bytes, resumed := c.Done()
	out := copied{Files: n, Bytes: bytes, Resumed: resumed, Seconds: time.Since(began).Seconds()}
	return a.print(out, func(w io.Writer) error {
		if !isTerminal(w) {
			return nil // as cp has it
		}
		_, err := fmt.Fprintf(w, "%d files, %s in %.1f s\n", n, size(bytes), out.Seconds)
		return err
	})
}

// run copies each source.
func (t transfer) run(ctx context.Context, c *files.Copy) error {
	into, err := intoDir(c.To, t)
	if err != nil {
		return err
	}
	for _, from := range t.from {
		to := t.to
		if into {
			to = c.To.Join(to, baseOf(from, t.up))
		}
		if err := c.Run(ctx, from, to); err != nil {
			return err
		}
	}
	return nil
}

// shown runs a copy and draws on a terminal how far it is.
func (a *app) shown(c *files.Copy, began time.Time, run func() error) error {
	if !isTerminal(a.err) {
		return run()
	}
	done := make(chan struct{})
	var drawing sync.WaitGroup
	drawing.Go(func() { drawProgress(a.err, c, began, done) })
	defer drawing.Wait()
	defer close(done)
	return run()
}

// drawProgress draws how far a copy is that takes more than a moment, until done is
// closed.
func drawProgress(w io.Writer, c *files.Copy, began time.Time, done <-chan struct{}) {
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	drawn := false
	for {
		select {
		case <-done:
			if drawn {
				fmt.Fprint(w, "\r\x1b[K")
			}
			return
		case now := <-tick.C:
			took := now.Sub(began)
			if took < progressAfter {
				continue
			}
			n, bytes := c.Moved()
			fmt.Fprintf(w, "\r\x1b[K%d files, %s, %s/s", n, size(bytes), size(int64(float64(bytes)/took.Seconds())))
			drawn = true
		}
	}
}

// intoDir reports whether what is copied goes into a directory and keeps its name.
func intoDir(to files.Tree, t transfer) (bool, error) {
	info, err := to.Stat(t.to)
	switch {
	case err == nil && info.IsDir():
		return true, nil
	case err == nil && (len(t.from) > 1 || t.intoDir):
		return false, fmt.Errorf("%s is no directory", t.to)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, fmt.Errorf("look at %s: %w", t.to, err)
	case err != nil && (len(t.from) > 1 || t.intoDir):
		return true, to.Mkdir(t.to)
	}
	return false, nil
}

// baseOf is the name that a source keeps; of ".", what it stands for is not asked.
func baseOf(from string, local bool) string {
	base := path.Base(from)
	if local {
		if abs, err := filepath.Abs(from); err == nil {
			from = abs
		}
		base = filepath.Base(from)
	}
	if base == "/" || base == "." || base == ".." || base == string(filepath.Separator) {
		return ""
	}
	return base
}

// openFiles begins an SFTP session with a workspace. done ends it, and may be
// called more than once.
func (a *app) openFiles(ctx context.Context, t *target) (r files.Remote, done func(), err error) {
	conn, err := t.node.DialTCP(ctx, netip.AddrPortFrom(t.addr, sshPort))
	if err != nil {
		return r, nil, fmt.Errorf("connect to workspace %s: %w", t.name, err)
	}
	client, err := sshClient(conn, t.name.String(), t.checkHostKey(ctx, a))
	if err != nil {
		conn.Close()
		return r, nil, fmt.Errorf("workspace %s: %w", t.name, err)
	}
	fail := func(err error) (files.Remote, func(), error) {
		client.Close()
		return r, nil, fmt.Errorf("workspace %s: open a file transfer: %w", t.name, err)
	}
	s, err := client.NewSession()
	if err != nil {
		return fail(err)
	}
	in, err := s.StdinPipe()
	if err != nil {
		return fail(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		return fail(err)
	}
	if err := s.RequestSubsystem("sftp"); err != nil {
		return fail(err)
	}
	if r, err = files.NewRemote(out, in); err != nil {
		return fail(err)
	}
	return r, func() { client.Close() }, nil
}

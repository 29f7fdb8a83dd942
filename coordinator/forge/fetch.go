package forge

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aditmesh/adit/pkg/archive"
	"github.com/aditmesh/adit/pkg/foreign"
)

const (
	// fetchTimeout bounds a fetch: of what a commit of a large repository has, too.
	fetchTimeout = 2 * time.Minute

	// maxRepository bounds what a fetch may put on the disk: the files of one commit,
	// packed. watchEvery is how often that is looked at.
	maxRepository = 512 << 20
	watchEvery    = 250 * time.Millisecond

	// maxTar bounds the tar of a template: what is in it, and a header of 512 bytes for
	// each of its files, padded.
	maxTar = archive.MaxUnpacked + 4<<20

	// maxComplaint is how much is kept of what git complains of.
	maxComplaint = 4 << 10

	// maxSubject is how much of a commit's subject a version's message has room for.
	maxSubject = 150
)

// limits are what a fetch may take.
type limits struct {
	time       time.Duration
	repository int64 // bytes on the disk
}

// Fetched are the files of a template.
type Fetched struct {
	Archive []byte // see package archive
	Commit  string // its id
	Message string // its id, short, and its subject, for people
}

// Fetch fetches the files of the newest commit of a source, with the git of this
// machine. That has nothing of whoever runs it: no configuration, no credentials, no
// proxies, no other protocol, and it follows no redirect.
func Fetch(ctx context.Context, s Source) (Fetched, error) {
	if err := s.Check(); err != nil {
		return Fetched{}, err // its URL may have a password in it
	}
	f, err := fetch(ctx, s, limits{fetchTimeout, maxRepository})
	if err != nil {
		return Fetched{}, fmt.Errorf("fetch branch %s of %s: %w", s.Branch, s.URL, err)
	}
	return f, nil
}

func fetch(ctx context.Context, s Source, may limits) (Fetched, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, may.time, fmt.Errorf("it took longer than the %v that a fetch may take", may.time))
	defer cancel()
	at, err := s.resolve(ctx)
	if err != nil {
		return Fetched{}, err
	}
	temp, err := os.MkdirTemp("", "adit-fetch-")
	if err != nil {
		return Fetched{}, err
	}
	defer os.RemoveAll(temp)
	ctx, tooLarge := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); watch(ctx, temp, may.repository, tooLarge) }()
	defer func() { tooLarge(nil); <-watched }()

	g := git{dir: filepath.Join(temp, "repository"), env: s.environment(temp, at)}
	if err := os.Mkdir(g.dir, 0o700); err != nil {
		return Fetched{}, err
	}
	if _, err := g.run(ctx, "init", "--quiet", "--bare"); err != nil {
		return Fetched{}, err
	}
	if _, err := g.run(ctx, "fetch", "--quiet", "--depth", "1", "--no-tags", "--", s.URL, "+refs/heads/"+s.Branch+":refs/heads/fetched"); err != nil {
		return Fetched{}, err
	}
	said, err := g.run(ctx, "log", "-1", "--format=%H %h %s", "refs/heads/fetched")
	if err != nil {
		return Fetched{}, err
	}
	commit, message, _ := strings.Cut(strings.TrimSpace(said), " ")
	tree := "refs/heads/fetched:"
	if s.Dir != "." {
		tree += s.Dir
	}
	var tar bytes.Buffer
	zip := gzip.NewWriter(&tar)
	bounded := &atMost{w: zip, left: maxTar}
	if err := g.runTo(ctx, bounded, "archive", "--format=tar", tree); err != nil {
		if bounded.left < 0 {
			err = fmt.Errorf("directory %s is larger than the %d MiB that a template may have", s.Dir, archive.MaxUnpacked>>20)
		}
		return Fetched{}, err
	}
	if err := zip.Close(); err != nil {
		return Fetched{}, err
	}
	// Once out and in again: what a template does not have stays behind, as in a push.
	files := filepath.Join(temp, "files")
	if err := archive.Unpack(tar.Bytes(), files); err != nil {
		return Fetched{}, err
	}
	packed, err := archive.Pack(files)
	if err != nil {
		return Fetched{}, err
	}
	return Fetched{Archive: packed, Commit: commit, Message: foreign.Clip(foreign.Printable(message), maxSubject)}, nil
}

// watch ends a fetch that puts more on the disk than it may.
func watch(ctx context.Context, dir string, most int64, end context.CancelCauseFunc) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		size := int64(0)
		_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
			if err != nil {
				return nil // git has removed it meanwhile
			}
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
				size += info.Size()
			}
			return nil
		})
		if size > most {
			end(fmt.Errorf("its files are more than the %d MiB that a repository may have; put the templates into one of their own", most>>20))
			return
		}
	}
}

// passed is what git gets of this process's environment: where its programs are, and
// whom it trusts.
var passed = []string{"PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "CURL_CA_BUNDLE", "SYSTEMROOT"}

// environment is git's, of which the secret is part: command lines can be read by
// everybody.
func (s Source) environment(home, at string) []string {
	protocol, _, _ := strings.Cut(s.URL, ":")
	env := []string{
		"HOME=" + home, "TMPDIR=" + home, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=" + strings.ToLower(protocol),
	}
	for _, name := range passed {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	config := [][2]string{
		{"http.followRedirects", "false"}, {"core.hooksPath", os.DevNull}, {"transfer.fsckObjects", "true"}, {"gc.auto", "0"},
		{"credential.helper", ""}, {"http.lowSpeedLimit", "1000"}, {"http.lowSpeedTime", "20"},
	}
	if at != "" {
		config = append(config, [2]string{"http.curloptResolve", at})
	}
	if s.Password != "" {
		basic := base64.StdEncoding.EncodeToString([]byte(s.Username + ":" + s.Password))
		config = append(config, [2]string{"http.extraHeader", "Authorization: Basic " + basic})
	}
	env = append(env, "GIT_CONFIG_COUNT="+strconv.Itoa(len(config)))
	for i, kv := range config {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, kv[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, kv[1]))
	}
	return env
}

// git runs git in a directory.
type git struct {
	dir string
	env []string
}

func (g git) run(ctx context.Context, argv ...string) (string, error) {
	var out bytes.Buffer
	err := g.runTo(ctx, &atMost{w: &out, left: maxComplaint}, argv...)
	return out.String(), err
}

func (g git) runTo(ctx context.Context, out io.Writer, argv ...string) error {
	cmd := exec.CommandContext(ctx, "git", argv...)
	var complaint bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = g.dir, g.env, out, &atMost{w: &complaint, left: maxComplaint, drop: true}
	together(cmd)
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, exec.ErrNotFound):
		return errors.New("there is no git on the server's host; install it there")
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	if why := foreign.Printable(strings.TrimSpace(complaint.String())); why != "" {
		return fmt.Errorf("git %s: %s%s", argv[0], why, adviceOn(why))
	}
	return fmt.Errorf("git %s: %w", argv[0], err)
}

// adviceOn is what to try when git says what it says to nobody at a terminal.
func adviceOn(said string) string {
	switch {
	case strings.Contains(said, "could not read "), strings.Contains(said, "Authentication failed"):
		return "; whoever made the webhook keeps no name and password for it, or wrong ones: see 'adit git-credentials'"
	case strings.Contains(said, "certificate verification failed"), strings.Contains(said, "SSL certificate problem"):
		return "; have the server's host trust its certificate, or start the server with the file that has it in GIT_SSL_CAINFO"
	}
	return ""
}

// atMost passes on so many bytes. What is more is an error, or dropped.
type atMost struct {
	w    io.Writer
	left int
	drop bool
}

func (a *atMost) Write(p []byte) (int, error) {
	n := len(p)
	if n > a.left {
		if !a.drop {
			a.left = -1
			return 0, errors.New("it is too large")
		}
		p = p[:a.left]
	}
	a.left -= len(p)
	if _, err := a.w.Write(p); err != nil {
		return 0, err
	}
	return n, nil
}

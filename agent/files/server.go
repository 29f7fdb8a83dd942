package files

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aditmesh/adit/agent/stats"
)

// Port is where agents serve files on the mesh.
const Port = 7077

const (
	// maxPage bounds a page of a listing, which has defaultPage entries unless asked
	// otherwise: a directory may have millions.
	maxPage     = 5000
	defaultPage = 1000

	// maxUpload bounds a file that is written in one request; cp has no bound.
	maxUpload = 1 << 30

	// maxHeader bounds what a request says before it begins.
	maxHeader = 32 << 10

	// headerIn bounds how long that may take, and idleFor how long a connection waits
	// for the next one.
	headerIn = 20 * time.Second
	idleFor  = 2 * time.Minute

	// stallFor is how long a client may take for the next piece, either way: TCP on
	// the mesh does not notice one that is gone.
	stallFor = time.Minute
)

// Entry is a file or a directory.
type Entry struct {
	Name string `json:"name"`
	// Kind is "file", "directory", "link" or "other".
	Kind string    `json:"kind"`
	Size int64     `json:"size"`
	Mode string    `json:"mode"` // octal
	At   time.Time `json:"modified_at"`
	// Target is where a link leads.
	Target string `json:"target,omitempty"`
}

// Listing is a page of a directory, by name.
type Listing struct {
	Entries []Entry `json:"entries"`
	// Next is what to ask the next page with, as after; empty if none follows.
	Next string `json:"next,omitempty"`
}

// Config configures a Server.
type Config struct {
	// Home is where names that are not absolute begin.
	Home  string
	Tally *stats.Tally
	// Suffixes are what names of workspaces end in for clients, such as "adit". Requests
	// to other names are refused: see [NewServer].
	Suffixes []string
	// Logger gets what goes wrong; nil discards.
	Logger *slog.Logger
}

// Server serves files. Serve once, and Close.
type Server struct {
	cfg     Config
	log     *slog.Logger
	http    *http.Server
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	watches chan struct{} // a slot each
}

// NewServer returns a server that serves nothing yet. It answers requests to addresses
// and to names of workspaces, and none of a page that gave its own name such an address.
func NewServer(cfg Config) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{cfg: cfg, log: cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)), ctx: ctx, cancel: cancel, watches: make(chan struct{}, maxWatches)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/list", s.named(s.list))
	mux.HandleFunc("GET /v1/stat", s.named(s.stat))
	mux.HandleFunc("GET /v1/file", s.named(s.read))
	mux.HandleFunc("PUT /v1/file", s.named(s.write))
	mux.HandleFunc("DELETE /v1/file", s.named(s.remove))
	mux.HandleFunc("POST /v1/directory", s.named(s.mkdir))
	mux.HandleFunc("GET /v1/watch", s.named(s.watch))
	s.http = &http.Server{
		// A page of a stranger's must not be able to ask for anything by way of a
		// browser on the mesh: its requests have an Origin or, if it gave its own name
		// this address, that name.
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" || !s.onMesh(r.Host) {
				http.Error(w, "this is not for pages of the web", http.StatusForbidden)
				return
			}
			w.Header().Set("X-Content-Type-Options", "nosniff")
			mux.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: headerIn, IdleTimeout: idleFor, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return s
}

// onMesh reports whether a host is an address, or a name that only the mesh has.
func (s *Server) onMesh(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return net.ParseIP(strings.Trim(host, "[]")) != nil ||
		slices.ContainsFunc(s.cfg.Suffixes, func(suffix string) bool { return strings.HasSuffix(host, "."+strings.ToLower(suffix)) })
}

// Serve serves l until Close.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(counted{l, s.cfg.Tally}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("files: serve: %w", err)
	}
	return nil
}

// Close ends every request.
func (s *Server) Close() error {
	s.cancel()
	return s.http.Close()
}

// counted counts connections as file transfers.
type counted struct {
	net.Listener
	tally *stats.Tally
}

func (l counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return c, err
	}
	if l.tally != nil {
		c = l.tally.Conn(stats.SFTP, c)
	}
	return patient{c}, nil
}

// patient is a connection on which a write ends when nobody reads.
type patient struct{ net.Conn }

func (c patient) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(stallFor)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// piecemeal reads a body, of which each piece has to come in time.
type piecemeal struct {
	io.Reader
	control *http.ResponseController
}

func (b piecemeal) Read(p []byte) (int, error) {
	if err := b.control.SetReadDeadline(time.Now().Add(stallFor)); err != nil {
		return 0, err
	}
	n, err := b.Reader.Read(p)
	if err != nil {
		_ = b.control.SetReadDeadline(time.Time{}) // the next request has its own
	}
	return n, err
}

// named gives a handler the name that a request is about, and answers with its
// error.
func (s *Server) named(h func(w http.ResponseWriter, r *http.Request, name string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("path")
		if strings.ContainsRune(name, 0) {
			http.Error(w, "path: it has a NUL in it", http.StatusBadRequest)
			return
		}
		if !filepath.IsAbs(name) {
			name = filepath.Join(s.cfg.Home, name)
		}
		if err := h(w, r, filepath.Clean(name)); err != nil {
			http.Error(w, err.Error(), statusOf(err))
		}
	}
}

// badRequest is a request that nobody can do.
type badRequest struct{ error }

// statusOf is what an error is in HTTP.
func statusOf(err error) int {
	switch {
	case errors.As(err, new(badRequest)):
		return http.StatusBadRequest
	case errors.Is(err, fs.ErrNotExist):
		return http.StatusNotFound
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return http.StatusForbidden
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR):
		return http.StatusConflict
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return http.StatusInsufficientStorage
	case errors.As(err, new(*http.MaxBytesError)):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusInternalServerError
}

func answer(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

func entryOf(dir string, info fs.FileInfo) Entry {
	e := Entry{Name: info.Name(), Kind: "other", Size: info.Size(), Mode: fmt.Sprintf("%04o", info.Mode().Perm()), At: info.ModTime()}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		e.Kind = "file"
	case mode.IsDir():
		e.Kind = "directory"
	case mode&fs.ModeSymlink != 0:
		e.Kind = "link"
		e.Target, _ = os.Readlink(filepath.Join(dir, info.Name())) // it may have gone
	}
	return e
}

func (s *Server) stat(w http.ResponseWriter, _ *http.Request, name string) error {
	info, err := os.Lstat(name)
	if err != nil {
		return err
	}
	return answer(w, entryOf(filepath.Dir(name), info))
}

// list answers with a page of a directory. Names are read in parts and only as many
// kept as a page has, so that a million of them take time and no memory.
func (s *Server) list(w http.ResponseWriter, r *http.Request, name string) error {
	limit, after := defaultPage, r.URL.Query().Get("after")
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			return badRequest{fmt.Errorf("limit %.20q: want a number from 1 to %d", text, maxPage)}
		}
		limit = n
	}
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	const part = 1024
	var names []string
	for {
		some, err := dir.Readdirnames(part)
		for _, n := range some {
			if n > after {
				names = append(names, n)
			}
		}
		if len(names) > limit+part {
			slices.Sort(names)
			names = names[:limit+1] // one more tells that there are more
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if r.Context().Err() != nil {
			return nil
		}
	}
	slices.Sort(names)
	page := Listing{Entries: []Entry{}}
	if len(names) > limit {
		names = names[:limit]
		page.Next = names[limit-1]
	}
	for _, n := range names {
		info, err := os.Lstat(filepath.Join(name, n))
		if err != nil {
			continue // it went meanwhile
		}
		page.Entries = append(page.Entries, entryOf(name, info))
	}
	return answer(w, page)
}

// read answers with a file, or a range of it.
func (s *Server) read(w http.ResponseWriter, r *http.Request, name string) error {
	// A pipe that nobody writes to would hold whoever opens it.
	f, err := os.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return badRequest{fmt.Errorf("%s is no file", name)}
	}
	w.Header().Set("Content-Type", "application/octet-stream") // whatever it is, nobody runs it
	w.Header().Set("ETag", etag(info))
	http.ServeContent(w, r, "", info.ModTime(), f)
	return nil
}

// etag stands for a file as it is.
func etag(info fs.FileInfo) string {
	return fmt.Sprintf("\"%x-%x\"", info.Size(), info.ModTime().UnixNano())
}

// write replaces a file, or makes it, once all of it is there. With If-Match it
// does so only if the file is what the tag stands for, with "If-None-Match: *" only
// if there is none.
func (s *Server) write(w http.ResponseWriter, r *http.Request, name string) error {
	mode := fs.FileMode(0o644)
	info, err := os.Stat(name)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return badRequest{fmt.Errorf("%s is no file", name)}
	case err == nil:
		mode = info.Mode().Perm()
		if name, err = filepath.EvalSymlinks(name); err != nil { // a link stays one
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	want := r.Header.Get("If-Match")
	if want != "" && (info == nil || want != etag(info)) || info != nil && r.Header.Get("If-None-Match") == "*" {
		http.Error(w, name+" is not as you saw it", http.StatusPreconditionFailed)
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".adit-write-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // it is not there any more if all went well
	_, err = io.Copy(tmp, piecemeal{http.MaxBytesReader(w, r.Body, maxUpload), http.NewResponseController(w)})
	if err = errors.Join(err, tmp.Chmod(mode), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), name); err != nil {
		return err
	}
	if info, err = os.Stat(name); err != nil {
		return err
	}
	w.Header().Set("ETag", etag(info))
	return answer(w, entryOf(filepath.Dir(name), info))
}

func (s *Server) remove(w http.ResponseWriter, _ *http.Request, name string) error {
	if err := os.Remove(name); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) mkdir(w http.ResponseWriter, _ *http.Request, name string) error {
	if err := os.MkdirAll(name, 0o755); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

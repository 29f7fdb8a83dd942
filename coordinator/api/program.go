package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/aditmesh/adit/pkg/foreign"
)

// programs are what agents download, and no secret: those of a directory, named
// adit-OS-ARCH and for Windows with .exe behind, and for its own platform this very
// program if there is none.
type programs struct {
	dir string // empty if there is none

	mu      sync.Mutex           // guards the following; not held while a file is read
	digests map[string]programID // by file
}

// programID is a file as it was when its digest was taken.
type programID struct {
	size     int64
	modified time.Time
	digest   string // SHA-256, hex
}

func newPrograms(dir string) *programs {
	return &programs{dir: dir, digests: make(map[string]programID)}
}

// own is the file of this program. By way of /proc it is the one that runs, also
// when an upgrade has replaced the file meanwhile.
func own() (string, error) {
	const running = "/proc/self/exe"
	if _, err := os.Stat(running); err == nil {
		return running, nil
	}
	return os.Executable()
}

type platformPath struct {
	OS   string `path:"os" maxLength:"32"`
	Arch string `path:"arch" maxLength:"32"`
}

// platformWord is what systems and architectures are called; nothing that leads out
// of a directory.
var platformWord = regexp.MustCompile(`^[a-z0-9_]+$`)

// open opens the program for a platform.
func (p *programs) open(in *platformPath) (*os.File, error) {
	missing := func(what string) error {
		return huma.Error404NotFound(fmt.Sprintf("no program for %s/%s: this coordinator has one for %s/%s%s",
			foreign.Printable(in.OS), foreign.Printable(in.Arch), runtime.GOOS, runtime.GOARCH, what))
	}
	if !platformWord.MatchString(in.OS) || !platformWord.MatchString(in.Arch) {
		return nil, missing("")
	}
	f, err := p.given(in)
	if errors.Is(err, fs.ErrNotExist) && in.OS == runtime.GOOS && in.Arch == runtime.GOARCH {
		var file string
		if file, err = own(); err == nil {
			f, err = os.Open(file)
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && p.dir == "":
		return nil, missing("; give it others with --agent-binaries, from make agents")
	case errors.Is(err, fs.ErrNotExist):
		return nil, missing(", and others in the directory of --agent-binaries; make agents builds them")
	case err != nil:
		return nil, huma.Error503ServiceUnavailable("the program cannot be read", err)
	}
	return f, nil
}

// given opens the program for a platform in the directory.
func (p *programs) given(in *platformPath) (*os.File, error) {
	if p.dir == "" {
		return nil, fs.ErrNotExist
	}
	file := filepath.Join(p.dir, "adit-"+in.OS+"-"+in.Arch)
	if in.OS == "windows" {
		file += ".exe"
	}
	return os.Open(file)
}

// digest returns the SHA-256 of a program, in hex. It is taken once for as long as
// the file stays the same.
func (p *programs) digest(f *os.File) (id programID, err error) {
	defer func() {
		if err != nil {
			err = huma.Error503ServiceUnavailable("the program cannot be read", fmt.Errorf("digest of %s: %w", f.Name(), err))
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return programID{}, err
	}
	p.mu.Lock()
	id = p.digests[f.Name()]
	p.mu.Unlock()
	if id.digest != "" && id.size == info.Size() && id.modified.Equal(info.ModTime()) {
		return id, nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return programID{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return programID{}, err
	}
	id = programID{info.Size(), info.ModTime(), hex.EncodeToString(sum.Sum(nil))}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.digests[f.Name()] = id
	return id, nil
}

func (p *programs) digestText(_ context.Context, in *platformPath) (*raw, error) {
	f, err := p.open(in)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	id, err := p.digest(f)
	if err != nil {
		return nil, err
	}
	return &raw{ContentType: "text/plain", Body: []byte(id.digest + "\n")}, nil
}

func (p *programs) binary(_ context.Context, in *platformPath) (*huma.StreamResponse, error) {
	f, err := p.open(in)
	if err != nil {
		return nil, err
	}
	id, err := p.digest(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		defer f.Close()
		r, w := humachi.Unwrap(ctx)
		w.Header().Set("Adit-Sha256", id.digest)
		w.Header().Set("ETag", `"`+id.digest+`"`)
		w.Header().Set("Content-Type", "application/octet-stream")
		// Parts and what is known already need not be sent again.
		http.ServeContent(w, r, "adit", id.modified, f)
	}}, nil
}

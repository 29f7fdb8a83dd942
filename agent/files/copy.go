package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// workers is how many files are under way at once: a small one takes half a dozen
// round trips, and no time otherwise.
const workers = 16

// Copy copies files and directories with what is in them.
//
// A file is written beside its place and takes it when it is whole, so that nobody
// sees half of one. A copy that broke off goes on from where it was if it is made
// again while its source is the same. Modes and times come along, links stay links,
// and what is neither file, directory nor link is left out. Links are made last: the
// far end could send one and then files to go through it.
type Copy struct {
	From, To Tree
	// Skipped is told of what is left out, and why; nil is nobody. It is called
	// concurrently.
	Skipped func(name, why string)

	files, bytes, resumed, moved atomic.Int64
}

// Done is what was copied, and how much of it was there from before.
func (c *Copy) Done() (files, bytes, resumed int64) {
	return c.files.Load(), c.bytes.Load(), c.resumed.Load()
}

// Moved is what has gone over the line so far: whole files, and bytes of those under
// way, too.
func (c *Copy) Moved() (files, bytes int64) { return c.files.Load(), c.moved.Load() }

// job is one file to copy.
type job struct {
	from, to string
	info     fs.FileInfo
}

// Run copies from, which a link at the top is followed for, to the place that is
// called to.
func (c *Copy) Run(ctx context.Context, from, to string) error {
	info, err := c.From.Stat(from)
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	jobs := make(chan job)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for j := range jobs {
				if err := c.file(ctx, j); err != nil {
					cancel(fmt.Errorf("copy %s: %w", j.from, err))
				}
			}
		})
	}
	var last later
	err = c.walk(ctx, job{from, to, info}, jobs, &last)
	close(jobs)
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		return err
	}
	return c.finish(&last)
}

// later is what is done when all files are there.
type later struct{ links, dirs []job }

// finish makes links, and gives directories their modes and times, which what is made
// in them changes.
func (c *Copy) finish(last *later) error {
	for _, l := range last.links {
		if err := c.link(l); err != nil {
			return err
		}
	}
	dirs := last.dirs
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := c.To.Attributes(dirs[i].to, dirs[i].info.Mode(), dirs[i].info.ModTime()); err != nil {
			return fmt.Errorf("set the mode and time of %s: %w", dirs[i].to, err)
		}
	}
	return nil
}

// walk makes directories and hands files out.
func (c *Copy) walk(ctx context.Context, j job, jobs chan<- job, last *later) error {
	switch mode := j.info.Mode(); {
	case mode.IsRegular():
		select {
		case jobs <- j:
		case <-ctx.Done():
		}
		return nil
	case mode&fs.ModeSymlink != 0:
		last.links = append(last.links, j)
		return nil
	case !mode.IsDir():
		c.skip(j.from, "it is neither a file nor a directory")
		return nil
	}
	if err := c.To.Mkdir(j.to); err != nil {
		return fmt.Errorf("make %s: %w", j.to, err)
	}
	last.dirs = append(last.dirs, j)
	entries, err := c.From.ReadDir(j.from)
	if err != nil {
		return fmt.Errorf("list %s: %w", j.from, err)
	}
	for _, e := range entries {
		name := e.Name()
		if name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || !filepath.IsLocal(name) {
			c.skip(j.from+"/"+name, "it is no name of a file here") // the far end may say anything
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if err := c.walk(ctx, job{c.From.Join(j.from, name), c.To.Join(j.to, name), e}, jobs, last); err != nil {
			return err
		}
	}
	return nil
}

func (c *Copy) skip(name, why string) {
	if c.Skipped != nil {
		c.Skipped(name, why)
	}
}

// link makes a link that says what the other says.
func (c *Copy) link(j job) error {
	target, err := c.From.ReadLink(j.from)
	if err != nil {
		return fmt.Errorf("read link %s: %w", j.from, err)
	}
	if old, err := c.To.ReadLink(j.to); err == nil {
		if old == target {
			return nil
		}
		if err := c.To.Remove(j.to); err != nil {
			return fmt.Errorf("replace link %s: %w", j.to, err)
		}
	}
	if err := c.To.Symlink(target, j.to); err != nil {
		return fmt.Errorf("make link %s: %w", j.to, err)
	}
	c.files.Add(1)
	return nil
}

// file copies one file beside its place and then to it.
func (c *Copy) file(ctx context.Context, j job) error {
	if err := ctx.Err(); err != nil {
		return nil //nolint:nilerr // another failed, and says why
	}
	part := partOf(j)
	var offset int64
	if old, err := c.To.Lstat(part); err == nil {
		switch {
		case !old.Mode().IsRegular(): // a link would lead elsewhere
			if err := c.To.Remove(part); err != nil {
				return err
			}
		case old.Size() <= j.info.Size():
			offset = max(old.Size()-resumeBack, 0)
		}
	}
	if err := c.carry(ctx, j, part, offset); err != nil {
		return err
	}
	now, err := c.From.Stat(j.from)
	if err != nil {
		return err
	}
	if now.Size() != j.info.Size() || !now.ModTime().Equal(j.info.ModTime()) {
		return errors.Join(errors.New("it changed while it was copied; copy it again"), c.To.Remove(part))
	}
	if err := c.To.Attributes(part, j.info.Mode(), j.info.ModTime()); err != nil {
		return err
	}
	if err := c.To.Rename(part, j.to); err != nil {
		return err
	}
	c.files.Add(1)
	c.bytes.Add(j.info.Size())
	c.resumed.Add(offset)
	return nil
}

// carry moves bytes from an offset on.
func (c *Copy) carry(ctx context.Context, j job, part string, offset int64) error {
	r, w := io.Pipe()
	stop := context.AfterFunc(ctx, func() { r.CloseWithError(context.Cause(ctx)) })
	defer stop()
	read := make(chan error, 1)
	go func() {
		err := c.From.Read(j.from, offset, &moving{w, &c.moved})
		w.CloseWithError(err)
		read <- err
	}()
	err := c.To.Write(part, offset, r)
	r.CloseWithError(err)
	if readErr := <-read; err == nil || errors.Is(readErr, err) {
		err = readErr
	}
	return err
}

// moving counts what goes through.
type moving struct {
	io.Writer
	n *atomic.Int64
}

func (m *moving) Write(p []byte) (int, error) {
	n, err := m.Writer.Write(p)
	m.n.Add(int64(n))
	return n, err
}

// partOf is where a file is until it is whole. Its name is that of this source as
// it is now: another, or a changed one, does not go on with it.
func partOf(j job) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", j.info.Size(), j.info.ModTime().Truncate(time.Second).UTC().Format(time.RFC3339)))
	dir, base := path.Split(filepath.ToSlash(j.to))
	return dir + "." + base + "." + hex.EncodeToString(sum[:6]) + ".adit-part"
}

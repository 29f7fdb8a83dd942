package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/pkg/sftp"
)

// Tree is a file system that is copied from or to: [Local] or [Remote].
type Tree interface {
	// Stat follows links, ReadDir and Lstat do not.
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
	ReadDir(name string) ([]fs.FileInfo, error)
	// Mkdir makes a directory, and those that it is in.
	Mkdir(name string) error
	ReadLink(name string) (string, error)
	Symlink(target, name string) error
	Remove(name string) error
	// Rename replaces what is there.
	Rename(from, to string) error
	// Attributes sets a mode and a time.
	Attributes(name string, mode fs.FileMode, at time.Time) error
	// Read writes a file to w from an offset on, Write what r has to a file from
	// an offset on, which it makes if need be.
	Read(name string, offset int64, w io.Writer) error
	Write(name string, offset int64, r io.Reader) error
	Join(dir, name string) string
}

// Local is the machine's own file system.
type Local struct{}

var _ Tree = Local{}

func (Local) Stat(name string) (fs.FileInfo, error)  { return os.Stat(name) }
func (Local) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(name) }

func (Local) ReadDir(name string) ([]fs.FileInfo, error) {
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	list := make([]fs.FileInfo, 0, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went meanwhile
		}
		if err != nil {
			return nil, err
		}
		list = append(list, info)
	}
	return list, nil
}

func (Local) Mkdir(name string) error              { return os.MkdirAll(name, 0o777) }
func (Local) ReadLink(name string) (string, error) { return os.Readlink(name) }
func (Local) Symlink(target, name string) error    { return os.Symlink(target, name) }
func (Local) Remove(name string) error             { return os.Remove(name) }
func (Local) Rename(from, to string) error         { return os.Rename(from, to) }
func (Local) Join(dir, name string) string         { return filepath.Join(dir, name) }

func (Local) Attributes(name string, mode fs.FileMode, at time.Time) error {
	return errors.Join(os.Chmod(name, mode.Perm()), os.Chtimes(name, at, at))
}

func (Local) Read(name string, offset int64, w io.Writer) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}

func (Local) Write(name string, offset int64, r io.Reader) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	err = writeFrom(f, offset, func() error { _, err := io.Copy(f, r); return err })
	return errors.Join(err, f.Close())
}

// writeFrom cuts a file off at an offset and has it written from there on.
func writeFrom(f interface {
	io.Seeker
	Truncate(int64) error
}, offset int64, write func() error) error {
	if err := f.Truncate(offset); err != nil {
		return err
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	return write()
}

const (
	// requests of requestSize bytes are under way at once for a file: 4 MiB, which
	// is 1 Gbit/s at a round trip of 32 ms.
	requests    = 128
	requestSize = 32 << 10

	// resumeBack is how much of what arrived is sent again when a transfer goes
	// on: requests end in any order, so that the last of it may have holes.
	resumeBack = 2 * requests * requestSize
)

// Remote is a file system behind SFTP, whose relative names begin at the home
// directory.
type Remote struct{ client *sftp.Client }

var _ Tree = Remote{}

// NewRemote speaks SFTP over a pair of streams, such as those of an SSH session's
// subsystem.
func NewRemote(r io.Reader, w io.WriteCloser) (Remote, error) {
	c, err := sftp.NewClientPipe(r, w, sftp.MaxConcurrentRequestsPerFile(requests), sftp.MaxPacketChecked(requestSize),
		sftp.UseConcurrentWrites(true), sftp.UseConcurrentReads(true))
	if err != nil {
		return Remote{}, fmt.Errorf("files: begin SFTP: %w", err)
	}
	return Remote{c}, nil
}

// Close ends the session.
func (t Remote) Close() error { return t.client.Close() }

func (t Remote) Stat(name string) (fs.FileInfo, error)      { return t.client.Stat(name) }
func (t Remote) Lstat(name string) (fs.FileInfo, error)     { return t.client.Lstat(name) }
func (t Remote) ReadDir(name string) ([]fs.FileInfo, error) { return t.client.ReadDir(name) }
func (t Remote) Mkdir(name string) error                    { return t.client.MkdirAll(name) }
func (t Remote) ReadLink(name string) (string, error)       { return t.client.ReadLink(name) }
func (t Remote) Symlink(target, name string) error          { return t.client.Symlink(target, name) }
func (t Remote) Remove(name string) error                   { return t.client.Remove(name) }
func (t Remote) Rename(from, to string) error               { return t.client.PosixRename(from, to) }
func (t Remote) Join(dir, name string) string               { return path.Join(dir, name) }

func (t Remote) Attributes(name string, mode fs.FileMode, at time.Time) error {
	return errors.Join(t.client.Chmod(name, mode.Perm()), t.client.Chtimes(name, at, at))
}

func (t Remote) Read(name string, offset int64, w io.Writer) error {
	f, err := t.client.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	_, err = f.WriteTo(w)
	return err
}

func (t Remote) Write(name string, offset int64, r io.Reader) error {
	f, err := t.client.OpenFile(name, os.O_WRONLY|os.O_CREATE)
	if err != nil {
		return err
	}
	err = writeFrom(f, offset, func() error { _, err := f.ReadFromWithConcurrency(r, requests); return err })
	return errors.Join(err, f.Close())
}

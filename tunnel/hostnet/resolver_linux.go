package hostnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aditmesh/adit/pkg/beat"
)

const (
	// resolvConf is where every program's C library looks.
	resolvConf = "/etc/resolv.conf"

	// commandTimeout bounds each call of resolvectl.
	commandTimeout = 5 * time.Second

	// stubConf is written by systemd-resolved when it starts.
	stubConf = "/run/systemd/resolve/stub-resolv.conf"

	// lookEvery is how often the files are looked at: DHCP clients and NetworkManager
	// write the first anew when the network changes.
	lookEvery = 2 * time.Second
)

// stubServers are where systemd-resolved answers.
var stubServers = []netip.Addr{netip.MustParseAddr("127.0.0.53"), netip.MustParseAddr("127.0.0.54")}

// Resolver is the machine's resolver, set up for the mesh's names until Close.
type Resolver struct {
	conf   confFile
	stub   string // stubConf, but in tests
	cancel context.CancelFunc
	done   chan struct{}

	// setting is held while the resolver is set up. It comes before mu.
	setting sync.Mutex
	cfg     ResolverConfig // guarded by setting

	mu     sync.Mutex // guards what follows
	byFile bool       // by a line in conf, and not by systemd-resolved
}

// OpenResolver has the machine ask for the mesh's names at cfg.Server: by
// systemd-resolved for those alone where it is in use, else by a line in
// /etc/resolv.conf, whatever program writes that otherwise. Should systemd-resolved come
// into use later, the line goes.
func OpenResolver(cfg ResolverConfig) (*Resolver, error) {
	return openResolver(cfg, resolvConf, stubConf)
}

func openResolver(cfg ResolverConfig, conf, stub string) (*Resolver, error) {
	if cfg.Changed == nil {
		cfg.Changed = func() {}
	}
	r := &Resolver{
		cfg: cfg, conf: confFile{path: conf, server: cfg.Server.Addr()}, stub: stub,
		cancel: func() {}, done: make(chan struct{}),
	}
	if r.conf.namesStub() && resolvectl(cfg) == nil {
		close(r.done)
		return r, nil
	}
	r.byFile = true
	// A link to nowhere is to what a resolver has yet to make, and is looked at until then.
	if err := r.conf.add(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("hostnet: resolver: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go r.watch(ctx)
	return r, nil
}

// SetReverse has the machine ask for the names of other ranges of addresses from now on. It
// must not be called at the same time as Close.
func (r *Resolver) SetReverse(ranges []netip.Prefix) error {
	r.setting.Lock()
	defer r.setting.Unlock()
	r.cfg.Reverse = ranges
	if r.usesFile() { // all names are asked for at our server
		return nil
	}
	return resolvectl(r.cfg)
}

func (r *Resolver) usesFile() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byFile
}

// How says by what the resolver is set up, for people.
func (r *Resolver) How() string {
	if r.usesFile() {
		return r.conf.path
	}
	return "systemd-resolved"
}

// Others returns the servers for all other names, if they are ours to ask.
func (r *Resolver) Others() []netip.Addr {
	if !r.usesFile() {
		return nil
	}
	conf, err := os.ReadFile(r.conf.path)
	if err != nil {
		return nil
	}
	rest, _ := withoutBlock(conf)
	return nameservers(rest)
}

// Close restores the resolver.
func (r *Resolver) Close() error {
	r.cancel()
	<-r.done
	if !r.usesFile() { // settings of a link go with it, but the link may stay for a while
		ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
		defer cancel()
		_ = exec.CommandContext(ctx, "resolvectl", "revert", r.cfg.Interface).Run()
		return nil
	}
	return r.conf.restore()
}

// watch adds our line again whenever somebody has written the file without it, until
// systemd-resolved is there to be told instead.
func (r *Resolver) watch(ctx context.Context) {
	defer close(r.done)
	tick := beat.NewTimer(lookEvery)
	defer tick.Stop()
	conf, stub := seenFile{path: r.conf.path}, seenFile{path: r.stub}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			tick.Again()
		}
		written, started := conf.changed(), stub.changed()
		if !written && !started && conf.last != nil {
			continue
		}
		if r.move() {
			r.cfg.Changed()
			return
		}
		if err := r.conf.add(); err == nil {
			r.cfg.Changed()
		}
	}
}

// move has systemd-resolved ask in the place of all programs, if it is in use by now. It
// reports whether it does.
func (r *Resolver) move() bool {
	if !r.conf.namesStub() {
		return false
	}
	r.setting.Lock()
	defer r.setting.Unlock()
	if resolvectl(r.cfg) != nil || r.conf.remove() != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byFile = false
	return true
}

// seenFile is a file as it was last seen.
type seenFile struct {
	path string
	last os.FileInfo // nil if there was none
}

// changed looks at the file, and reports whether it is another one, or written to, since
// the last look. One that is not there any more has not changed.
func (f *seenFile) changed() bool {
	now, err := os.Stat(f.path)
	if err != nil {
		f.last = nil
		return false
	}
	last := f.last
	f.last = now
	return last == nil || !os.SameFile(now, last) || !now.ModTime().Equal(last.ModTime())
}

// RestoreResolver takes out of the resolver's settings what a daemon has left there,
// whose end was none of its own making.
func RestoreResolver(string) error {
	return (&confFile{path: resolvConf}).restore()
}

// resolvectl has systemd-resolved ask at the interface for the mesh's names alone.
func resolvectl(cfg ResolverConfig) error {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	for _, args := range resolvectlArgs(cfg) {
		if out, err := exec.CommandContext(ctx, "resolvectl", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("resolvectl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
		}
	}
	return nil
}

// resolvectlArgs are what resolvectl is called with. Our responder speaks no TLS, nobody
// has signed the mesh's names, and there is no multicast: what the machine asks of other
// servers must not be asked of it.
func resolvectlArgs(cfg ResolverConfig) [][]string {
	domain := []string{"domain", cfg.Interface}
	for _, zone := range cfg.zones() {
		domain = append(domain, "~"+zone)
	}
	args := [][]string{{"dns", cfg.Interface, cfg.Server.Addr().String()}, domain}
	for _, what := range []string{"default-route", "dnsovertls", "dnssec", "llmnr", "mdns"} {
		args = append(args, []string{what, cfg.Interface, "no"})
	}
	return args
}

// confFile is a resolver's configuration in a file.
type confFile struct {
	path   string
	server netip.Addr
}

// namesStub reports whether programs that go by the file ask systemd-resolved.
func (f *confFile) namesStub() bool {
	conf, err := os.ReadFile(f.path)
	return err == nil && slices.ContainsFunc(nameservers(conf), func(a netip.Addr) bool { return slices.Contains(stubServers, a) })
}

// restore is remove for those whose end it is.
func (f *confFile) restore() error {
	if err := f.remove(); err != nil {
		return fmt.Errorf("hostnet: restore the resolver: %w", err)
	}
	return nil
}

// add puts our block in front, unless it is there.
func (f *confFile) add() error {
	conf, err := os.ReadFile(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		conf = nil
	} else if conf == nil {
		conf = []byte{}
	}
	rest, _ := withoutBlock(conf)
	want := withBlock(rest, f.server)
	if bytes.Equal(conf, want) {
		return nil
	}
	return f.write(want)
}

// remove takes our block out, if it is there.
func (f *confFile) remove() error {
	conf, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	rest, had := withoutBlock(conf)
	switch {
	case !had:
		return nil
	case rest == nil:
		return os.Remove(f.path)
	}
	return f.write(rest)
}

// write replaces the file, or what a link leads to, at once: programs read it at any
// time. A file that is mounted into a container can only be written over.
func (f *confFile) write(data []byte) error {
	path, err := filepath.EvalSymlinks(f.path)
	if err != nil { // new, or a link to nowhere
		path = f.path
		if to, linkErr := os.Readlink(f.path); linkErr == nil {
			if path = to; !filepath.IsAbs(to) {
				path = filepath.Join(filepath.Dir(f.path), to)
			}
		}
	}
	mode, uid, gid := fs.FileMode(0o644), -1, -1
	var st unix.Stat_t
	if unix.Stat(path, &st) == nil {
		mode, uid, gid = fs.FileMode(st.Mode&0o7777), int(st.Uid), int(st.Gid)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".resolv.conf-adit-*")
	if err != nil {
		return os.WriteFile(path, data, mode)
	}
	defer os.Remove(tmp.Name()) // gone already when all went well
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Chown(uid, gid), tmp.Close())
	if err != nil {
		return err
	}
	err = os.Rename(tmp.Name(), path)
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EXDEV) {
		return os.WriteFile(path, data, mode)
	}
	return err
}

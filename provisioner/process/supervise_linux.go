package process

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// An agent that ends is started again after firstDelay, which doubles each
	// time up to lastDelay and starts over once one has run for soundAfter.
	firstDelay = time.Second
	lastDelay  = 30 * time.Second
	soundAfter = time.Minute
)

// Supervise runs the agent of a directory until it is told to stop by SIGTERM.
// It is the whole of a process: it reaps every child there is.
func Supervise(dir string) error {
	ready := os.NewFile(readyFD, "ready")
	s, err := newHosted(dir)
	if err != nil {
		fmt.Fprint(ready, err)
		return err
	}
	defer s.alive.Close()
	fmt.Fprint(ready, "ok")
	ready.Close()
	s.run()
	killAll(s.spec.Agent)
	s.log.say("stopped")
	return nil
}

// hosted supervises the agent of a directory.
type hosted struct {
	supervisor
	dir   string
	spec  Spec
	alive *os.File
	log   *logWriter
}

// supervisor is one agent's; a single goroutine owns it.
//
//	waiting ⇄ running → stopping → end
type supervisor struct {
	home    string // where the agent begins
	environ []string
	grace   time.Duration
	said    *os.File // what the agent writes goes there
	say     func(format string, a ...any)

	pid     int // 0: none runs
	started time.Time
	delay   time.Duration
	again   <-chan time.Time // when to start the agent; nil while it runs
}

func newHosted(dir string) (*hosted, error) {
	s := &hosted{dir: dir}
	raw, err := os.ReadFile(filepath.Join(dir, specFile))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &s.spec); err != nil {
		return nil, fmt.Errorf("%s: %w", specFile, err)
	}
	if s.alive, err = hold(filepath.Join(dir, aliveFile)); err != nil {
		return nil, err
	}
	if err := ownProc(); err != nil {
		return nil, fmt.Errorf("mount /proc: %w", err)
	}
	// Outside a PID namespace, what the agent's children leave behind is ours.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become a reaper: %w", err)
	}
	if s.log, err = openLog(filepath.Join(dir, logFile)); err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	go io.Copy(s.log, r) // ends with the process
	home := filepath.Join(dir, "..", "..", "home")
	s.supervisor = supervisor{home: home, environ: s.environment(home), grace: s.spec.Grace, said: w, say: s.log.say}
	return s, nil
}

// ownProc gives the first process of a PID namespace a /proc that shows it, in
// mounts that nobody else sees.
func ownProc() error {
	if os.Getpid() != 1 {
		return nil
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}

// run returns when it was told to stop and the agent has.
func (s *supervisor) run() {
	// The agent is killed when the thread that started it ends.
	runtime.LockOSThread()
	s.delay = firstDelay
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	var kill <-chan time.Time
	s.start()
	for {
		select {
		case sig := <-signals:
			switch sig {
			case syscall.SIGCHLD:
				s.reap()
			case syscall.SIGTERM, syscall.SIGINT:
				if kill == nil {
					kill = time.After(s.grace)
				}
				s.again = nil
				s.signal(syscall.SIGTERM)
			}
		case <-s.again:
			s.start()
		case <-kill:
			s.say("the agent takes more than %v to stop and is killed", s.grace)
			s.signal(syscall.SIGKILL)
		}
		if kill != nil {
			s.again = nil
			if s.pid == 0 {
				return
			}
		}
	}
}

// start starts the agent, or plans to try again.
func (s *supervisor) start() {
	s.again, s.started = nil, time.Now()
	null, err := os.Open(os.DevNull)
	if err == nil {
		defer null.Close()
		// The file may have been replaced by a newer version, or removed: what
		// this process runs is still there.
		s.pid, err = syscall.ForkExec("/proc/self/exe", []string{"adit", "agent"}, &syscall.ProcAttr{
			Dir: s.home, Env: s.environ,
			Files: []uintptr{null.Fd(), s.said.Fd(), s.said.Fd()},
			Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
		})
	}
	if err != nil {
		s.pid = 0
		s.retry(err.Error())
	}
}

// environment is the agent's. Its token goes by a file: an environment is
// inherited, and can be read.
func (s *hosted) environment(home string) []string {
	env := append(os.Environ(),
		"ADIT_URL="+s.spec.URL,
		"ADIT_AGENT_TOKEN_FILE="+filepath.Join(s.dir, tokenFile),
		"ADIT_AGENT_HOME="+home,
		"HOME="+home,
	)
	for k, v := range s.spec.Env {
		env = append(env, k+"="+v)
	}
	return env
}

func (s *supervisor) signal(sig syscall.Signal) {
	if s.pid != 0 {
		syscall.Kill(s.pid, sig)
	}
}

// reap takes leave of every child that ended.
func (s *supervisor) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if pid != s.pid {
			continue
		}
		s.pid = 0
		if status.Signaled() {
			s.retry("killed by " + status.Signal().String())
		} else {
			s.retry(fmt.Sprintf("exit status %d", status.ExitStatus()))
		}
	}
}

// retry plans the next start.
func (s *supervisor) retry(why string) {
	if time.Since(s.started) >= soundAfter {
		s.delay = firstDelay
	}
	s.say("the agent ended: %s; it is started again in %v", why, s.delay)
	s.again = time.After(s.delay)
	s.delay = min(2*s.delay, lastDelay)
}

package ssh

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"unicode/utf16"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/aditmesh/adit/agent/family"
)

// terminal is the near end of a pseudo console.
type terminal struct {
	in, out *os.File
	console windows.Handle
}

// end closes the console: what is left comes out, and then its end.
func (t *terminal) end() { windows.ClosePseudoConsole(t.console) }

func (t *terminal) close() {
	t.in.Close()
	t.out.Close()
}

// startOnTerminal starts cmd on a new console.
func startOnTerminal(cmd *exec.Cmd, size windowChange) (_ *terminal, _ *process, err error) {
	if cmd.Err != nil {
		return nil, nil, cmd.Err
	}
	t, err := openTerminal(size)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			t.end()
			t.close()
		}
	}()
	leader, err := t.start(cmd)
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	wait := func() error {
		state, err := leader.Wait()
		if err == nil && !state.Success() {
			err = &exec.ExitError{ProcessState: state}
		}
		return err
	}
	all, err := family.Of(leader)
	if err != nil {
		return nil, nil, errors.Join(err, leader.Kill(), wait())
	}
	resize := func(w windowChange) error { return windows.ResizePseudoConsole(t.console, coordinates(w)) }
	return t, &process{Family: all, wait: wait, resize: resize}, nil
}

// coordinates is a size that a console can have: none is of size zero.
func coordinates(w windowChange) windows.Coord {
	fit := func(n uint32) int16 { return int16(max(1, min(n, 1<<15-1))) }
	return windows.Coord{X: fit(w.Columns), Y: fit(w.Rows)}
}

func openTerminal(size windowChange) (*terminal, error) {
	farIn, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("open a console: %w", err)
	}
	defer farIn.Close()
	out, farOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a console: %w", err), in.Close())
	}
	defer farOut.Close()
	t := &terminal{in: in, out: out}
	if err := windows.CreatePseudoConsole(coordinates(size), windows.Handle(farIn.Fd()), windows.Handle(farOut.Fd()), 0, &t.console); err != nil {
		t.close()
		return nil, fmt.Errorf("open a console: %w", err)
	}
	return t, nil
}

// start starts cmd on the console, which os/exec cannot.
func (t *terminal) start(cmd *exec.Cmd) (*os.Process, error) {
	attributes, err := windows.NewProcThreadAttributeList(1)
	if err != nil {
		return nil, err
	}
	defer attributes.Delete()
	// The value of this attribute is the handle itself.
	if err := attributes.Update(windows.PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE, *(*unsafe.Pointer)(unsafe.Pointer(&t.console)), unsafe.Sizeof(t.console)); err != nil {
		return nil, err
	}
	path, err1 := windows.UTF16PtrFromString(cmd.Path)
	line, err2 := windows.UTF16PtrFromString(windows.ComposeCommandLine(cmd.Args))
	dir, err3 := windows.UTF16PtrFromString(cmd.Dir)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	// Without handles of its own: those of this process are no consoles.
	info := &windows.StartupInfoEx{
		StartupInfo:             windows.StartupInfo{Flags: windows.STARTF_USESTDHANDLES},
		ProcThreadAttributeList: attributes.List(),
	}
	info.Cb = uint32(unsafe.Sizeof(*info))
	var started windows.ProcessInformation
	flags := uint32(windows.CREATE_UNICODE_ENVIRONMENT | windows.EXTENDED_STARTUPINFO_PRESENT)
	if err := windows.CreateProcess(path, line, nil, nil, false, flags, environmentBlock(cmd.Environ()), dir, &info.StartupInfo, &started); err != nil {
		return nil, err
	}
	defer func() { _ = windows.CloseHandle(started.Thread) }()
	defer func() { _ = windows.CloseHandle(started.Process) }() // which keeps the id until it is found
	return os.FindProcess(int(started.ProcessId))
}

// environmentBlock is an environment as CreateProcess takes it: each entry ends
// with a zero, and one more ends them.
func environmentBlock(environ []string) *uint16 {
	var block []uint16
	for _, kv := range environ {
		block = append(append(block, utf16.Encode([]rune(kv))...), 0)
	}
	block = append(block, 0)
	return &block[0]
}

package pty

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"unicode/utf16"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/aditmesh/adit/agent/family"
)

// Terminal is the near end of a pseudo console.
type Terminal struct {
	in, out *os.File
	console windows.Handle
	ended   sync.Once
}

// End closes the console: what is left comes out, and then its end.
func (t *Terminal) End() { t.ended.Do(func() { windows.ClosePseudoConsole(t.console) }) }

// Close ends the console.
func (t *Terminal) Close() error {
	t.End()
	return errors.Join(t.in.Close(), t.out.Close())
}

// Write types.
func (t *Terminal) Write(p []byte) (int, error) { return t.in.Write(p) }

// CopyTo passes on what comes out, until End.
func (t *Terminal) CopyTo(w io.Writer) { copyAll(w, t.out) }

// Resize gives the console another size.

func (t *Terminal) Resize(w Size) error {
	return windows.ResizePseudoConsole(t.console, coordinates(w))
}

// Start starts cmd on the console. Here a program cannot be started another way.
func (t *Terminal) Start(cmd *exec.Cmd, _ family.Starter) (*Process, error) {
	if cmd.Err != nil {
		return nil, cmd.Err
	}
	leader, err := t.create(cmd)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
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
		return nil, errors.Join(err, leader.Kill(), wait())
	}
	return &Process{Family: all, Wait: wait, Kill: leader.Kill}, nil
}

// coordinates is a size that a console can have: none is of size zero.
func coordinates(w Size) windows.Coord {
	fit := func(n uint32) int16 { return int16(max(1, min(n, 1<<15-1))) }
	return windows.Coord{X: fit(w.Columns), Y: fit(w.Rows)}
}

// Open opens a console of a size. It has no modes.
func Open(size Size, _ string) (*Terminal, error) {
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
	t := &Terminal{in: in, out: out}
	if err := windows.CreatePseudoConsole(coordinates(size), windows.Handle(farIn.Fd()), windows.Handle(farOut.Fd()), 0, &t.console); err != nil {
		in.Close()
		out.Close()
		return nil, fmt.Errorf("open a console: %w", err)
	}
	return t, nil
}

// create starts cmd on the console, which os/exec cannot.
func (t *Terminal) create(cmd *exec.Cmd) (*os.Process, error) {
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

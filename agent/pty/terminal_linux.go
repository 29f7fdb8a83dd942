package pty

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// Opcodes of RFC 4254, section 8, and of RFC 8160 that end or carry no mode of ours.
const (
	modesEnd  = 0
	modesLast = 159 // the last that has an argument of four bytes
)

// modeChars are opcodes of special characters.
var modeChars = map[byte]int{
	1: unix.VINTR, 2: unix.VQUIT, 3: unix.VERASE, 4: unix.VKILL, 5: unix.VEOF, 6: unix.VEOL, 7: unix.VEOL2,
	8: unix.VSTART, 9: unix.VSTOP, 10: unix.VSUSP, 12: unix.VREPRINT, 13: unix.VWERASE, 14: unix.VLNEXT, 18: unix.VDISCARD,
}

// modeFlags are opcodes of flags, in the four sets that they belong to.
var modeFlags = [4]map[byte]uint32{
	{
		30: unix.IGNPAR, 31: unix.PARMRK, 32: unix.INPCK, 33: unix.ISTRIP, 34: unix.INLCR, 35: unix.IGNCR, 36: unix.ICRNL,
		37: unix.IUCLC, 38: unix.IXON, 39: unix.IXANY, 40: unix.IXOFF, 41: unix.IMAXBEL, 42: unix.IUTF8,
	},
	{70: unix.OPOST, 71: unix.OLCUC, 72: unix.ONLCR, 73: unix.OCRNL, 74: unix.ONOCR, 75: unix.ONLRET},
	{90: unix.CS7, 91: unix.CS8, 92: unix.PARENB, 93: unix.PARODD},
	{
		50: unix.ISIG, 51: unix.ICANON, 52: unix.XCASE, 53: unix.ECHO, 54: unix.ECHOE, 55: unix.ECHOK, 56: unix.ECHONL,
		57: unix.NOFLSH, 58: unix.TOSTOP, 59: unix.IEXTEN, 60: unix.ECHOCTL, 61: unix.ECHOKE, 62: unix.PENDIN,
	},
}

// setModes gives a terminal the modes of the client's, so that its erase key
// erases. A list that is cut short counts as far as it goes.
func setModes(tty *os.File, modes string) error {
	raw, err := tty.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		var t *unix.Termios
		if t, set = unix.IoctlGetTermios(int(fd), unix.TCGETS); set == nil {
			applyModes(t, modes)
			set = unix.IoctlSetTermios(int(fd), unix.TCSETS, t)
		}
	})
	if err != nil {
		return err
	}
	return set
}

func applyModes(t *unix.Termios, modes string) {
	sets := [4]*uint32{&t.Iflag, &t.Oflag, &t.Cflag, &t.Lflag}
	for len(modes) >= 5 && modes[0] != modesEnd && modes[0] <= modesLast {
		code, value := modes[0], binary.BigEndian.Uint32([]byte(modes[1:5]))
		modes = modes[5:]
		if c, ok := modeChars[code]; ok {
			t.Cc[c] = byte(value) // 255, which is none, is 0 here
			if value == 255 {
				t.Cc[c] = 0
			}
		}
		for i, flags := range modeFlags {
			switch flag, ok := flags[code]; {
			case !ok:
			case value == 0 && flag != unix.CS7 && flag != unix.CS8:
				*sets[i] &^= flag
			case value != 0:
				*sets[i] |= flag
			}
		}
	}
}

// pollable is f in a way that reads of it can be ended by a deadline, and that does
// not hold a thread while it waits.
func pollable(f *os.File) (*os.File, error) {
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

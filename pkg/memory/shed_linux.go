package memory

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// shed gives back the pages of the program that were needed to start and are not any
// more: those of its file, which the system reads again when they are. Of a program
// with every role in it these are most of what an idle process of ours would hold.
func shed() error {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("memory: give back: %w", err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("memory: give back: %w", err)
	}
	for line := range bytes.Lines(maps) {
		// FROM-TO PERMISSIONS OFFSET DEVICE INODE NAME; what can be written to has
		// pages that are in no file.
		fields := bytes.SplitN(bytes.TrimSpace(line), []byte(" "), 6)
		if len(fields) != 6 || bytes.Contains(fields[1], []byte("w")) || string(bytes.TrimSpace(fields[5])) != exe {
			continue
		}
		from, to, _ := bytes.Cut(fields[0], []byte("-"))
		first, err1 := strconv.ParseUint(string(from), 16, 64)
		last, err2 := strconv.ParseUint(string(to), 16, 64)
		if err1 != nil || err2 != nil || last <= first {
			return fmt.Errorf("memory: give back: a line %q in /proc/self/maps", line)
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, uintptr(first), uintptr(last-first), unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("memory: give back: %w", errno)
		}
	}
	return nil
}

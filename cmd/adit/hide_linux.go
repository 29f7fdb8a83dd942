package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// hideFromUser keeps an agent's token and keys from the programs of people, also
// where these run as the agent's own user: what /proc shows of its environment and
// arguments, and its memory, which nobody but root can look at any more, with a
// debugger neither. A token in a file that such programs can read is still theirs.
func hideFromUser() error {
	if err := hideEnvironment(); err != nil {
		return err
	}
	if err := hideToken(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keep the memory from others: %w", err)
	}
	return nil
}

// hideEnvironment overwrites the values of adit's own settings in what
// /proc/PID/environ shows of this process: a template's commands run as the same
// user and could read the database's URL or a token there. The process itself
// has its copies.
func hideEnvironment() error {
	const start, end = 50, 51
	return rewriteSelf("environment", start, end, func(environ []byte) {
		for entry := range bytes.SplitSeq(environ, []byte{0}) {
			name, value, _ := bytes.Cut(entry, []byte{'='})
			if bytes.HasPrefix(name, []byte("ADIT_")) || bytes.HasPrefix(name, []byte("PG")) {
				blank(value)
			}
		}
	})
}

// hideToken does the same to the value of --token, which everybody could see.
func hideToken() error {
	const start, end = 48, 49
	return rewriteSelf("arguments", start, end, func(args []byte) {
		follows := false
		for arg := range bytes.SplitSeq(args, []byte{0}) {
			if value, ok := bytes.CutPrefix(arg, []byte("--token=")); ok || follows {
				blank(value)
			}
			follows = string(arg) == "--token"
		}
	})
}

// blank overwrites a secret. How long it was is none.
func blank(value []byte) {
	for i := range value {
		value[i] = 'x'
	}
}

// rewriteSelf changes what the kernel keeps for /proc between two addresses, which
// are fields of proc_pid_stat(5).
func rewriteSelf(what string, startField, endField int, change func([]byte)) error {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return fmt.Errorf("hide the %s: %w", what, err)
	}
	// The name of the program comes first, in parentheses, and may have any in it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const first = 3
	if len(fields) <= endField-first {
		return fmt.Errorf("hide the %s: /proc/self/stat has %d fields", what, len(fields))
	}
	start, err1 := strconv.ParseInt(fields[startField-first], 10, 64)
	end, err2 := strconv.ParseInt(fields[endField-first], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("hide the %s: %w", what, err)
	}
	mem, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("hide the %s: %w", what, err)
	}
	defer mem.Close()
	shown := make([]byte, end-start)
	if _, err := mem.ReadAt(shown, start); err != nil {
		return fmt.Errorf("hide the %s: %w", what, err)
	}
	change(shown)
	if _, err := mem.WriteAt(shown, start); err != nil {
		return fmt.Errorf("hide the %s: %w", what, err)
	}
	return nil
}

package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// hideEnvironment overwrites the values of adit's own settings in what
// /proc/PID/environ shows of this process: a template's commands run as the same
// user and could read the database's URL or a token there. The process itself
// has its copies.
func hideEnvironment() error {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return fmt.Errorf("hide the environment: %w", err)
	}
	// The name of the program comes first, in parentheses, and may have any in it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const first, envStart, envEnd = 3, 50, 51 // see proc_pid_stat(5)
	if len(fields) <= envEnd-first {
		return fmt.Errorf("hide the environment: /proc/self/stat has %d fields", len(fields))
	}
	start, err := strconv.ParseInt(fields[envStart-first], 10, 64)
	if err != nil {
		return fmt.Errorf("hide the environment: %w", err)
	}
	end, err := strconv.ParseInt(fields[envEnd-first], 10, 64)
	if err != nil {
		return fmt.Errorf("hide the environment: %w", err)
	}
	mem, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("hide the environment: %w", err)
	}
	defer mem.Close()
	environ := make([]byte, end-start)
	if _, err := mem.ReadAt(environ, start); err != nil {
		return fmt.Errorf("hide the environment: %w", err)
	}
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		name, value, _ := bytes.Cut(entry, []byte{'='})
		if bytes.HasPrefix(name, []byte("ADIT_")) || bytes.HasPrefix(name, []byte("PG")) {
			for i := range value {
				value[i] = 'x'
			}
		}
	}
	if _, err := mem.WriteAt(environ, start); err != nil {
		return fmt.Errorf("hide the environment: %w", err)
	}
	return nil
}

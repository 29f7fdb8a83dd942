//go:build unix && !linux

package pty

import "os"

// setModes leaves a terminal as the system makes it.
func setModes(*os.File, string) error { return nil }

// pollable leaves f as it is: not every system can wait for a terminal.
func pollable(f *os.File) (*os.File, error) { return f, nil }

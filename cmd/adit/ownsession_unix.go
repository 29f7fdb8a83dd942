//go:build unix

package main

import "syscall"

// ownSession has a process outlive the terminal that it was started at.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

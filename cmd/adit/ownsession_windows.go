package main

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// ownSession has a process outlive the terminal that it was started at.
func ownSession() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
}

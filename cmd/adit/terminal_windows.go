package main

import (
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// lookEvery is how often the console is asked for its size: it tells only those
// who read its events, and they would take what is typed.
const lookEvery = 500 * time.Millisecond

// sizeChanges tells when the console's size may have changed, until forget is
// called.
func sizeChanges() (changed <-chan time.Time, forget func()) {
	tick := time.NewTicker(lookEvery)
	return tick.C, tick.Stop
}

// understandEscapes makes the console do what programs of Unix write to terminals,
// until restore is called.
func understandEscapes() (restore func()) {
	console := windows.Handle(os.Stdout.Fd())
	var mode uint32
	if windows.GetConsoleMode(console, &mode) != nil {
		return func() {} // it is none
	}
	if windows.SetConsoleMode(console, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) != nil {
		return func() {} // it is too old
	}
	return func() { _ = windows.SetConsoleMode(console, mode) }
}

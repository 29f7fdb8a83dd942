//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// sizeChanges tells when the terminal's size has changed, until forget is called.
func sizeChanges() (changed <-chan os.Signal, forget func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGWINCH)
	return signals, func() { signal.Stop(signals) }
}

// understandEscapes does nothing: every terminal does.
func understandEscapes() (restore func()) { return func() {} }

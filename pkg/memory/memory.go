// Package memory gives the machine back what a process that rests does not need.
//
// Our processes are busy for moments: at their start, while sessions are open, while many
// workspaces come at once. What they needed then stays theirs, in part for as long as they
// run, unless they call Rest.
package memory

import "runtime/debug"

// Rest collects garbage and gives back what is free, and on Linux the pages of the program
// itself. What is needed again is read again, so it is worth while only when
// little is to be done for some time: it takes tens of milliseconds.
func Rest() error {
	debug.FreeOSMemory()
	return shed()
}

// Package family ends a program together with what it has started.
//
// Call [Apart] before the program is started, [Of] after, and Close once it has
// been waited for.
package family

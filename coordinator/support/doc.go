// Package support gathers what somebody who helps needs to know of a coordinator,
// and leaves out what nobody else may.
//
// A [Ring] keeps the last lines of the log; [Bundle] writes it, and what else
// there is, into an archive from which secrets were taken.
package support

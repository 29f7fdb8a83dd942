// Package support gathers what somebody who helps needs to know of a coordinator,
// and leaves out what nobody else may.
//
// A [Ring] keeps the last lines of the log; [Sources.Files] gathers it, and what else
// there is, and takes secrets out.
package support

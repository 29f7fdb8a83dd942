package update

// Answer is what becomes of an update that somebody asked for.
type Answer struct {
	// Version is what will run.
	Version string `json:"version"`
	// Changed says that it is another program than the one that runs.
	Changed bool `json:"changed"`
	// InUse are sessions, forwards and scripts that the agent waits for before it
	// starts it, WithinSeconds at most.
	InUse         int   `json:"in_use"`
	WithinSeconds int64 `json:"within_seconds"`
}

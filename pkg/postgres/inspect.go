package postgres

// Inspected is what Start would find.
type Inspected struct {
	Binaries string // the directory of those it would run
	Version  int    // their major version
	Cluster  bool   // whether there is a cluster in the directory
	// URL is how to reach the server that runs on the directory; empty if none does.
	URL string
}

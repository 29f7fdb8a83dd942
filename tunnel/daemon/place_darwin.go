package daemon

// systemRunDir is where programs of the system's listen.
func systemRunDir() string { return "/var/run" }

// Package files is what moves files between a workspace and people.
//
// [Copy] is what "adit cp" does, over SFTP. [Server] is for programs that look at
// files one by one, such as an editor in a browser: an HTTP API on a port of the
// mesh, where WireGuard has proven who is there. It serves what the agent's own
// user may read and write, as SSH does:
//
//	GET    /v1/list?path=DIR            entries of a directory, a page at a time
//	GET    /v1/stat?path=NAME           one entry
//	GET    /v1/file?path=NAME           a file, or a range of it
//	PUT    /v1/file?path=NAME           replaces a file, or makes it; whole or not at all
//	DELETE /v1/file?path=NAME           removes a file or an empty directory
//	POST   /v1/directory?path=NAME      makes a directory and those it is in
//	GET    /v1/watch?path=DIR           what changes there, a JSON object a line
//
// Names are absolute, or begin at the home directory.
package files

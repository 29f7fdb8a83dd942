// Package names answers for the names of the mesh: AGENT.WS.OWNER.adit,
// WS.OWNER.adit, and WS.adit for one's own workspaces, and for the addresses
// behind them.
//
// A [Table] says what there is; whoever knows replaces it by Set. A [Server] answers
// from the table, and asks other servers for all other names where it is the only
// one that programs ask.
package names

// Package loadtest puts load on a running coordinator and measures how it
// bears it: agents that stay connected ([Agents]), people and programs at the
// API ([API]), and nodes that come, go and move while others watch ([Churn]).
//
// Nodes are simulated: they speak the real control protocol over WebSockets of
// their own, but carry no traffic. Their workspaces are external, made through
// the API like anybody's, with names that begin with [Prefix]. Each test
// deletes those that it made, also when its context ends early; what a killed
// one left, [Clean] deletes.
//
// A Config's client must be an owner's of the deployment; [Allowed] says so
// before anything is made.
package loadtest

// Package proto roots the wire contracts between adit's processes. Each
// subpackage is generated from the .proto file beside it by "make generate";
// the comments in that file are the contract.
package proto

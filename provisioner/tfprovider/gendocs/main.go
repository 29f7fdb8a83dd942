// Command gendocs writes the provider's documentation in the format that
// Terraform's registry shows: a page for the provider and one for each resource
// and data source, made of their schemas and of the examples beside it.
//
// It writes below the directory that is its only argument.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gendocs DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

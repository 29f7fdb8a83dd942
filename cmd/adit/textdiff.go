package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/aymanbagabas/go-udiff"
)

// diffContext is how many lines around a change are shown.
const diffContext = 3

// writeDiff writes how a file changed, as patch(1) reads it; nothing if it did not.
func writeDiff(w io.Writer, name, was, is string) error {
	if was == is {
		return nil
	}
	from, to := "a/"+name, "b/"+name
	if was == "" {
		from = "/dev/null"
	}
	if is == "" {
		to = "/dev/null"
	}
	if strings.ContainsRune(was+is, 0) {
		_, err := fmt.Fprintf(w, "Binary files %s and %s differ\n", from, to)
		return err
	}
	text, err := udiff.ToUnified(from, to, was, udiff.Lines(was, is), diffContext)
	if err != nil {
		return fmt.Errorf("compare %s: %w", name, err)
	}
	_, err = io.WriteString(w, text)
	return err
}

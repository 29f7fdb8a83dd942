package main

import (
	"fmt"
	"io"
	"strings"
)

const (
	// diffContext is how many lines around a change are shown.
	diffContext = 3

	// maxDiff bounds the work of comparing two files, in pairs of lines. What is more
	// is shown as replaced.
	maxDiff = 16 << 20
)

// edit is a line of both texts (' '), of the old one alone ('-') or of the new ('+').
type edit struct {
	kind byte
	line string
}

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
	if _, err := fmt.Fprintf(w, "--- %s\n+++ %s\n", from, to); err != nil {
		return err
	}
	for _, h := range hunks(edits(lines(was), lines(is))) {
		if _, err := io.WriteString(w, h); err != nil {
			return err
		}
	}
	return nil
}

// lines cuts a text up; each but the last ends in a newline.
func lines(text string) []string {
	list := strings.SplitAfter(text, "\n")
	if list[len(list)-1] == "" {
		list = list[:len(list)-1]
	}
	return list
}

// edits makes one text of another with as few lines taken out and put in as can be.
func edits(was, is []string) []edit {
	var before, after []edit
	for len(was) > 0 && len(is) > 0 && was[0] == is[0] {
		before = append(before, edit{' ', was[0]})
		was, is = was[1:], is[1:]
	}
	for n, m := len(was), len(is); n > 0 && m > 0 && was[n-1] == is[m-1]; n, m = len(was), len(is) {
		after = append(after, edit{' ', was[n-1]})
		was, is = was[:n-1], is[:m-1]
	}
	all := append(before, changedLines(was, is)...)
	for i := len(after) - 1; i >= 0; i-- {
		all = append(all, after[i])
	}
	return all
}

// changedLines is edits for texts that begin and end differently: by the longest sequence of
// lines that both have.
func changedLines(was, is []string) (all []edit) {
	n, m := len(was), len(is)
	if n*m > maxDiff {
		n, m = 0, 0
		for _, l := range was {
			all = append(all, edit{'-', l})
		}
		for _, l := range is {
			all = append(all, edit{'+', l})
		}
		return all
	}
	common := make([][]int32, n+1) // how many lines both have from here on
	for i := range common {
		common[i] = make([]int32, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if was[i] == is[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	for i, j := 0, 0; i < n || j < m; {
		switch {
		case i < n && j < m && was[i] == is[j]:
			all = append(all, edit{' ', was[i]})
			i, j = i+1, j+1
		case j == m || i < n && common[i+1][j] >= common[i][j+1]:
			all = append(all, edit{'-', was[i]})
			i++
		default:
			all = append(all, edit{'+', is[j]})
			j++
		}
	}
	return all
}

// hunks writes edits, with what is far from a change left out.
func hunks(all []edit) (list []string) {
	old, now := 1, 1 // numbers of the line that is next
	for i := 0; i < len(all); {
		first := i
		for first < len(all) && all[first].kind == ' ' {
			first++
		}
		if first == len(all) {
			break
		}
		start := max(i, first-diffContext)
		old, now = old+start-i, now+start-i
		end, quiet := first, 0
		for end < len(all) && quiet <= 2*diffContext {
			if quiet++; all[end].kind != ' ' {
				quiet = 0
			}
			end++
		}
		end -= max(0, quiet-diffContext)
		list = append(list, hunk(all[start:end], old, now))
		for _, e := range all[start:end] {
			if e.kind != '+' {
				old++
			}
			if e.kind != '-' {
				now++
			}
		}
		i = end
	}
	return list
}

func hunk(part []edit, old, now int) string {
	var text strings.Builder
	olds, nows := 0, 0
	for _, e := range part {
		if e.kind != '+' {
			olds++
		}
		if e.kind != '-' {
			nows++
		}
		text.WriteByte(e.kind)
		text.WriteString(e.line)
		if !strings.HasSuffix(e.line, "\n") {
			text.WriteString("\n\\ No newline at end of file\n")
		}
	}
	if olds == 0 {
		old--
	}
	if nows == 0 {
		now--
	}
	return fmt.Sprintf("@@ -%d,%d +%d,%d @@\n%s", old, olds, now, nows, text.String())
}

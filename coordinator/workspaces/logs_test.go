package workspaces

import (
	"slices"
	"strings"
	"testing"

	"github.com/aditmesh/adit/coordinator/store"
)

// Why a build failed comes last, and is what people look for in a long log.
func TestOfALogThatIsTooLongErrorsAreKept(t *testing.T) {
	line := func(level, text string) store.LogLine { return store.LogLine{Level: level, Text: text} }
	long := strings.Repeat("x", maxLine)
	for name, c := range map[string]struct {
		size  int64
		lines []store.LogLine
		want  []string
	}{
		"short":    {0, []store.LogLine{line("info", "a"), line("error", "b")}, []string{"a", "b"}},
		"fills up": {maxLog - 1, []store.LogLine{line("info", "a"), line("info", "b"), line("error", "c")}, []string{"a", logFull, "c"}},
		"full":     {maxLog + 1, []store.LogLine{line("info", "a"), line("error", "b"), line("warn", "c")}, []string{"b"}},
		"of errors": {maxLog + maxErrors, []store.LogLine{line("error", long), line("error", "b"), line("error", "c")},
			[]string{long}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, l := range fitLog(c.size, c.lines) {
				got = append(got, l.Text)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("kept %.50q, want %.50q", got, c.want)
			}
		})
	}
}

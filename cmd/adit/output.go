package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/lipgloss/table"
	"golang.org/x/term"
)

// print writes v as JSON, or calls human, as the output format asks.
func (a *app) print(v any, human func(io.Writer) error) error {
	if a.output == "json" {
		enc := json.NewEncoder(a.out)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	return human(a.out)
}

// writeTable writes rows under a header, without lines: it is read by people
// and by awk.
func writeTable(w io.Writer, header []string, rows [][]string) error {
	head := lipgloss.NewStyle().PaddingRight(2)
	if isTerminal(w) {
		head = head.Bold(true)
	}
	t := table.New().Headers(header...).Rows(rows...).
		BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).
		BorderHeader(false).BorderColumn(false).BorderRow(false).
		StyleFunc(func(row, _ int) lipgloss.Style {
			if row == table.HeaderRow {
				return head
			}
			return lipgloss.NewStyle().PaddingRight(2)
		})
	for line := range strings.Lines(t.Render()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// logger logs to stderr: everything when verbose, else from level up.
func (a *app) logger(level slog.Level) *slog.Logger {
	if a.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level}))
}

// clientLogger is for one-shot commands, whose stderr is for errors.
func (a *app) clientLogger() *slog.Logger {
	if a.verbose {
		return a.logger(slog.LevelDebug)
	}
	return slog.New(slog.DiscardHandler)
}

// ago writes how long ago t was, for people.
func ago(t *time.Time) string {
	if t == nil {
		return "never"
	}
	d := time.Since(*t)
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
}

package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newScheduleCmd(a *app) *cobra.Command {
	var start, stopAfter, extend string
	var wake bool
	cmd := &cobra.Command{
		Use: "schedule WS", Short: "Show or set when a workspace starts and stops by itself",
		Long: `Show or set when a workspace starts and stops by itself.

It starts at a time on some days, in a time zone. It stops some time after its
start, and not while it is used: input to SSH, traffic of forwarded ports and of
the VPN. Closing one connection stops nothing that another one uses.`,
		Example: `  adit schedule dev
  adit schedule dev --start "mon-fri 08:30 Europe/Berlin" --stop-after 9h
  adit schedule dev --start never --stop-after default
  adit schedule dev --extend 2h          # once, from now on
  adit schedule dev --wake               # it is dormant, and is to stay`,
		Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		RunE: func(cmd *cobra.Command, argv []string) error {
			req, err := scheduleRequest(cmd, start, stopAfter)
			if err != nil {
				return err
			}
			by, err := span("extend", extend)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			w, _, err := findWorkspace(ctx, c, argv[0])
			if err != nil {
				return err
			}
			if req != (sdk.SetSchedule{}) {
				if w, err = c.SetSchedule(ctx, w.Owner, w.Name, req); err != nil {
					return fmt.Errorf("schedule workspace %s: %w", argv[0], err)
				}
			}
			if wake {
				if w, err = c.WakeWorkspace(ctx, w.Owner, w.Name); err != nil {
					return fmt.Errorf("wake workspace %s: %w", argv[0], err)
				}
			}
			if by > 0 {
				if w, err = c.ExtendWorkspace(ctx, w.Owner, w.Name, by); err != nil {
					return fmt.Errorf("extend workspace %s: %w", argv[0], err)
				}
			}
			if w.Schedule == nil {
				return fmt.Errorf("workspace %s is external: somebody starts and stops it by hand", w.Ref())
			}
			shown := struct {
				*sdk.Schedule
				Warnings []string `json:"warnings"`
			}{w.Schedule, append([]string{}, w.Warnings...)}
			return a.print(shown, func(out io.Writer) error { printSchedule(out, w); return nil })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&start, "start", "", `"DAYS HH:MM [ZONE]" (UTC without a zone), or never`)
	flags.StringVar(&stopAfter, "stop-after", "", "how long it runs after its start, such as 9h; never; or default, which its template says")
	flags.StringVar(&extend, "extend", "", "do not stop for so long from now on, such as 2h")
	flags.BoolVar(&wake, "wake", false, "end that it is dormant, without starting it")
	return cmd
}

func scheduleRequest(cmd *cobra.Command, start, stopAfter string) (req sdk.SetSchedule, err error) {
	if cmd.Flags().Changed("start") {
		if start == "never" {
			start = ""
		} else if start == "" {
			return req, usagef("--start %q: want DAYS HH:MM [ZONE], or never", start)
		}
		req.Autostart = &start
	}
	if !cmd.Flags().Changed("stop-after") {
		return req, nil
	}
	var ttl int64
	switch stopAfter {
	case "never":
	case "default":
		ttl = -1
	default:
		d, err := span("stop-after", stopAfter)
		if err != nil || d == 0 {
			return req, usagef("--stop-after %q: want a time such as 9h, never or default", stopAfter)
		}
		ttl = int64(d / time.Second)
	}
	req.TTL = &ttl
	return req, nil
}

// span reads a time that people give a flag: as Go does, or in days.
func span(flag, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	var d time.Duration
	var err error
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if n, err = strconv.Atoi(days); n > maxDays {
			err = errors.New("too long")
		}
		d = time.Duration(n) * 24 * time.Hour
	} else {
		d, err = time.ParseDuration(text)
	}
	if err != nil || d < 0 {
		return 0, usagef("--%s %q: want a time such as 90m, 8h or 30d", flag, text)
	}
	return d, nil
}

// maxDays is what fits: ten years.
const maxDays = 3650

// spell writes a span as people say it; zero is never.
func spell(seconds int64) string {
	const day = 24 * 60 * 60
	switch {
	case seconds == 0:
		return "never"
	case seconds%day == 0:
		return fmt.Sprintf("%dd", seconds/day)
	}
	text := (time.Duration(seconds) * time.Second).String()
	if rest, ok := strings.CutSuffix(text, "m0s"); ok {
		text = rest + "m"
	}
	if rest, ok := strings.CutSuffix(text, "h0m"); ok {
		text = rest + "h"
	}
	return text
}

// printSchedule writes what a workspace does by itself, and what to beware of.
func printSchedule(out io.Writer, w sdk.Workspace) {
	if s := w.Schedule; s != nil {
		when := func(t *time.Time) string {
			if t == nil {
				return ""
			}
			return ", next on " + t.Local().Format("Mon 2 Jan 15:04 MST")
		}
		start := "never by itself"
		if s.Autostart != "" {
			start = s.Autostart + when(s.StartsAt)
		}
		stop := "never by itself"
		if s.TTL > 0 {
			stop = spell(s.TTL) + " after its start, unless it is used"
		}
		if s.StopsAt != nil {
			stop += when(s.StopsAt)
		}
		fmt.Fprintf(out, "Starts     %s\nStops      %s\n", start, stop)
	}
	for _, text := range w.Warnings {
		fmt.Fprintf(out, "Warning    %s\n", oneLine(text))
	}
}

func newTemplatesEditCmd(a *app) *cobra.Command {
	var ttl, most, bump, dormant, forget string
	var autostart bool
	var cost int64
	var p preparedFlags
	var deprecated string
	cmd := &cobra.Command{
		Use: "edit NAME", Short: "Show or set what a template says of its workspaces: when they stop, what they cost, and how many are kept ready",
		Example: `  adit templates edit process
  adit templates edit process --default-ttl 8h --max-ttl 24h --activity 1h
  adit templates edit process --dormant-after 30d --delete-after 60d
  adit templates edit gpu --cost 10 --autostart=false
  adit templates edit old --deprecated "use process, which has more disk"
  adit templates edit process --prepared 3 --prepared-schedule "mon-fri 07:00-19:00 Europe/Berlin"`,
		Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeTemplate,
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			l, err := c.TemplateLimits(cmd.Context(), argv[0])
			if err != nil {
				return noTemplate(err, argv[0])
			}
			before := l
			for _, f := range []struct {
				name, text string
				to         *int64
			}{
				{"default-ttl", ttl, &l.DefaultTTL}, {"max-ttl", most, &l.MaxTTL}, {"activity", bump, &l.ActivityBump},
				{"dormant-after", dormant, &l.DormantAfter}, {"delete-after", forget, &l.DeleteAfter},
			} {
				if !cmd.Flags().Changed(f.name) {
					continue
				}
				if f.text == "never" {
					f.text = "0s"
				}
				d, err := span(f.name, f.text)
				if err != nil {
					return err
				}
				*f.to = int64(d / time.Second)
			}
			if cmd.Flags().Changed("autostart") {
				l.Autostart = autostart
			}
			if cmd.Flags().Changed("cost") {
				l.Cost = cost
			}
			if cmd.Flags().Changed("deprecated") {
				l.Deprecated = deprecated
			}
			if l != before {
				if l, err = c.SetTemplateLimits(cmd.Context(), argv[0], l); err != nil {
					return fmt.Errorf("edit template %s: %w", argv[0], noTemplate(err, argv[0]))
				}
			}
			ready, err := p.apply(cmd, c, argv[0])
			if err != nil {
				return fmt.Errorf("edit template %s: %w", argv[0], noTemplate(err, argv[0]))
			}
			shown := struct {
				sdk.TemplateLimits
				Prepared *sdk.Prepared `json:"prepared,omitempty"`
			}{l, ready}
			return a.print(shown, func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "Default TTL    %s\nMax TTL        %s\nActivity       %s\nAutostart      %t\nDormant after  %s\nDelete after   %s\nCost           %d\n",
					spell(l.DefaultTTL), spell(l.MaxTTL), spell(l.ActivityBump), l.Autostart, spell(l.DormantAfter), spell(l.DeleteAfter), l.Cost)
				printPrepared(out, ready)
				if l.Deprecated != "" {
					fmt.Fprintf(out, "Deprecated     %s\n", oneLine(l.Deprecated))
				}
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&ttl, "default-ttl", "", "how long workspaces run after their start unless their owners say otherwise, or never")
	flags.StringVar(&most, "max-ttl", "", "how long at most, however much they are used")
	flags.StringVar(&bump, "activity", "", "how long use puts the stop off")
	flags.BoolVar(&autostart, "autostart", true, "whether they may start by themselves")
	flags.StringVar(&dormant, "dormant-after", "", "how long they may go unused before they are stopped and marked")
	flags.StringVar(&forget, "delete-after", "", "how long after that they are deleted")
	flags.Int64Var(&cost, "cost", 0, "what each takes of its owner's quota")
	flags.StringVar(&deprecated, "deprecated", "", "why the template is not to be used any more, for those who do; empty ends that")
	p.add(flags)
	return cmd
}

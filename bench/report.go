package bench

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// results are the samples of all rounds, by subject.
type results map[string][]sample

func (r results) add(subject string, s sample) { r[subject] = append(r[subject], s) }

// values are all that was measured of a subject.
func (r results) values(subject string, m metric) []float64 {
	var all []float64
	for _, s := range r[subject] {
		if v, ok := s[m]; ok {
			all = append(all, v)
		}
	}
	return all
}

// table is one of the report: metrics down, subjects across.
type table struct {
	title    string
	subjects []string
	metrics  []metric
}

func tables() []table {
	carried := []metric{tcp1, tcp4, cpuPerGiB, rttMean, rttP50, rttP99, rttLoaded, udpRate, rssIdle, rssAfter, rssPeak}
	return []table{
		{"Interfaces", []string{"raw", "wireguard-go", "tailscaled", "adit-tun"}, carried},
		{"Stacks in the process", []string{"tsnet", "adit-netstack"}, carried},
		{"Over a relay", []string{"tailscaled-derp", "adit-derp", "adit-udp-relay"}, carried},
		{"Until nodes meet", []string{"tailscaled", "adit-netstack"}, []metric{firstByte, directOpen, directEasy, directHard}},
		{"Relays as such", []string{"derper", "adit-derp", "adit-udp"}, []metric{
			floodSmall1, floodSmall4, floodFull1, floodFull4, fourToOne, floodCPU,
			cores1, loadFull1, peakFull1, overload1, offered1, missed1, made1,
			cores4, loadFull4, peakFull4, overload4, offered4, missed4, made4, relayP50, relayP99, relayIdle,
		}},
	}
}

// rows writes a table by a function for its cells; those without values are "–".
func (r results) rows(t table, cell func([]float64) string) [][]string {
	head := []string{""}
	for _, s := range t.subjects {
		if len(r[s]) > 0 {
			head = append(head, s)
		}
	}
	rows := [][]string{head}
	for _, m := range t.metrics {
		row, some := []string{string(m)}, false
		for _, s := range head[1:] {
			text := "–"
			if v := r.values(s, m); len(v) > 0 {
				text, some = cell(v), true
			}
			row = append(row, text)
		}
		if some {
			rows = append(rows, row)
		}
	}
	return rows
}

// summary is the medians so far, for who watches.
func (r results) summary() string {
	var b strings.Builder
	for _, t := range tables() {
		rows := r.rows(t, func(v []float64) string { return format(median(v)) })
		if len(rows) == 1 {
			continue
		}
		rows[0][0] = t.title
		for _, row := range rows {
			fmt.Fprintf(&b, "%-48s", row[0])
			for _, cell := range row[1:] {
				fmt.Fprintf(&b, "%16s", cell)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// report is docs/benchmarks.md.
func (r results) report(rounds int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Benchmarks

Written by %[1]smake bench ROUNDS=%[2]d%[1]s; bench/doc.go says how it works. adit is measured beside what it is to beat, in network
namespaces of one machine, turn by turn: raw TCP; wireguard-go and tailscaled with TUN interfaces; tsnet, Tailscale's
stack in a process; and derper, its relay. Programs of Tailscale are built from version 1.102.5 of its module. Both
ends share the machine, so figures say little elsewhere; ratios do.

%[3]s.

`, "`", rounds, machine())
	b.WriteString("## The bar\n\n")
	writeMarkdown(&b, r.bars())
	fmt.Fprintf(&b, "\nA ratio is ours to theirs, the median of all rounds'. Times to meet count from when both ends are up, which is that they know their network and each other, and are the worse end's; “never” is not within %v.\n", meetWithin)
	r.writeTables(&b)
	for _, s := range subjects() {
		fmt.Fprintf(&b, "- **%s**: %s.\n", s.name, s.what)
	}
	fmt.Fprintf(&b, `
TCP is iperf3's over interfaces, with CUBIC, and a small program's in a process, each for %v. The CPU is that of the
processes at both ends of the tunnel; where the stack is in the process, it is included. Round trips are ICMP's over
interfaces and UDP's in a process. The rate of datagrams is the highest of which no more than %v of a second's are lost.
`, streamLasts, lossAllowed)
	return b.String()
}

// writeTables writes all that was measured.
func (r results) writeTables(b *strings.Builder) {
	b.WriteString("\n## Everything\n\nMedians, and in brackets the least and the most.\n")
	for _, t := range tables() {
		rows := r.rows(t, func(v []float64) string {
			return fmt.Sprintf("%s [%s–%s]", format(median(v)), format(quantile(v, 0)), format(quantile(v, 1)))
		})
		if len(rows) > 1 {
			fmt.Fprintf(b, "\n### %s\n\n", t.title)
			writeMarkdown(b, rows)
		}
	}
	b.WriteString("\n")
}

// relayReport is docs/relay-benchmarks.md.
func (r results) relayReport(rounds int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Benchmarks of relays

Written by %[1]smake bench-relays ROUNDS=%[2]d%[1]s. Clients that have no tunnel behind them flood stock derper, version 1.102.5, and
an adit relay by turns: over DERP in TLS, and over UDP. Each is a process on a host of its own, in network namespaces of
one machine, which the clients share with them: figures say little elsewhere; ratios do.

%[3]s.

## The bar

`, "`", rounds, machine())
	writeMarkdown(&b, r.bars())
	b.WriteString("\nA ratio is ours to theirs, the median of all rounds'.\n")
	r.writeTables(&b)
	fmt.Fprintf(&b, `A flood is as much as the senders' connections take, over DERP, and as their kernel does, over UDP; they write what is
due at once, up to %d KiB. A relay is saturated by the first rate, each %v times the last, of which less than %v arrives;
its peak is the most that arrived at any. While that is looked for, and tripled, it has half of the cores, and its clients
the other half. One over UDP that takes more than a third of all that those can make is not saturated by them, and has
only a half, a quarter or an eighth of one core. Over DERP, TCP holds senders back, so that less is sent than is due; UDP
does not, and what receivers have no room for is lost behind the relay. A round trip goes by the relay to the other end
and back, %d of them, one each %v. The memory is the share of one of the first %d clients.
`, floodBatch, saturationStep, delivers, idlePings, idleInterval, idleClients)
	return b.String()
}

func writeMarkdown(b *strings.Builder, rows [][]string) {
	for i, row := range rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(b, "|%s\n", strings.Repeat("---|", len(row)))
		}
	}
}

// format writes a number with three digits that count.
func format(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case math.IsInf(v, 1):
		return "never"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// machine says what was measured on, without a name.
func machine() string {
	model := "unknown CPU"
	if raw, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, after, ok := strings.Cut(string(raw), "model name"); ok {
			line, _, _ := strings.Cut(after, "\n")
			model = strings.Trim(line, "\t :")
		}
	}
	kernel := "unknown"
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		kernel = unix.ByteSliceToString(name.Release[:])
	}
	return fmt.Sprintf("The machine: %s, %d cores, Linux %s, %s %s", model, runtime.NumCPU(), kernel, runtime.Version(), runtime.GOARCH)
}

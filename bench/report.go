package bench

import (
	"fmt"
	"math"
	"strings"
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

// metrics are all, in the order of the report.
func metrics() []metric {
	return []metric{tcp1, tcp4, cpuPerGiB, rttMean, rttP50, rttP99, rttLoaded, udpRate, rssIdle, rssAfter, rssPeak, firstByte, directOpen, directEasy, directHard}
}

// table writes medians, a row a measurement.
func (r results) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-44s", "median")
	var names []string
	for _, s := range subjects() {
		if len(r[s.name]) > 0 {
			names = append(names, s.name)
			fmt.Fprintf(&b, "%16s", s.name)
		}
	}
	b.WriteString("\n")
	for _, m := range metrics() {
		fmt.Fprintf(&b, "%-44s", m)
		for _, name := range names {
			cell := "–"
			if v := r.values(name, m); len(v) > 0 {
				cell = format(median(v))
			}
			fmt.Fprintf(&b, "%16s", cell)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// format writes a number with three digits that count.
func format(v float64) string {
	switch {
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

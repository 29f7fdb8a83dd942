package bench

import "math"

// bar is what ours has to reach of a metric: a share of the best of its rivals,
// or a figure.
type bar struct {
	what    metric
	ours    string
	rivals  []string
	least   bool    // the smaller the better
	share   float64 // of the best rival; zero is none
	figure  float64 // zero is none
	q       float64 // the quantile that counts
	comment string
}

// of is what counts of the values.
func (b bar) of(values []float64) float64 {
	if b.q == 0.5 {
		return median(values)
	}
	return quantile(values, b.q)
}

func bars() []bar {
	interfaces := []string{"wireguard-go", "tailscaled"}
	const half, tail = 0.5, 0.9
	return []bar{
		{what: directEasy, ours: "adit-netstack", rivals: []string{"tailscaled"}, least: true, figure: 300, q: half, comment: ", p50"},
		{what: directEasy, ours: "adit-netstack", rivals: []string{"tailscaled"}, least: true, figure: 1000, q: tail, comment: ", p90"},
		{what: directHard, ours: "adit-netstack", rivals: []string{"tailscaled"}, least: true, figure: 3000, q: half, comment: ", p50"},
		{what: firstByte, ours: "adit-netstack", rivals: []string{"tailscaled"}, least: true, figure: 5, q: half},
		{what: tcp1, ours: "adit-tun", rivals: interfaces, share: 1, q: half},
		{what: tcp4, ours: "adit-tun", rivals: interfaces, share: 1, q: half},
		{what: tcp1, ours: "adit-netstack", rivals: []string{"tsnet"}, share: 1.2, q: half},
		{what: tcp4, ours: "adit-netstack", rivals: []string{"tsnet"}, share: 1.2, q: half},
		{what: rttMean, ours: "adit-tun", rivals: []string{"wireguard-go"}, least: true, share: 1, q: half},
		{what: rttLoaded, ours: "adit-tun", rivals: interfaces, least: true, figure: 4, q: half},
		{what: udpRate, ours: "adit-tun", rivals: interfaces, figure: 25, q: half},
		{what: rssAfter, ours: "adit-tun", rivals: interfaces, least: true, figure: 150, q: half},
		{what: rssAfter, ours: "adit-netstack", rivals: []string{"tsnet"}, least: true, figure: 200, q: half},
		{what: tcp1, ours: "adit-udp-relay", rivals: []string{"adit-tun"}, share: 0.6, q: half},
		{what: rttP50, ours: "adit-udp-relay", rivals: []string{"tailscaled-derp"}, least: true, share: 0.5, q: half},
		{what: tcp1, ours: "adit-derp", rivals: []string{"tailscaled-derp"}, share: 2, q: half},
	}
}

// relayBars are those of relays as such.
func relayBars() (all []bar) {
	derper := []string{"derper"}
	for _, what := range []metric{floodSmall1, floodSmall4, floodFull1, floodFull4} {
		all = append(all,
			bar{what: what, ours: "adit-udp", rivals: derper, share: 3, q: 0.5},
			bar{what: what, ours: "adit-derp", rivals: derper, share: 1, q: 0.5})
	}
	for _, ours := range []string{"adit-udp", "adit-derp"} {
		for _, what := range []metric{overload1, overload4} {
			all = append(all, bar{what: what, ours: ours, rivals: derper, figure: 0.8, q: 0.5})
		}
	}
	return append(all,
		bar{what: fourToOne, ours: "adit-derp", rivals: derper, figure: 0.8, q: 0.5},
		bar{what: relayP50, ours: "adit-udp", rivals: derper, least: true, share: 0.5, q: 0.5},
		bar{what: relayP50, ours: "adit-derp", rivals: derper, least: true, share: 1, q: 0.5},
		bar{what: relayIdle, ours: "adit-derp", rivals: derper, least: true, figure: 65, q: 0.5})
}

// bars writes what is to be reached beside what is.
func (r results) bars() [][]string {
	rows := [][]string{{"what", "who", "ours", "best of the others", "ratio", "bar", ""}}
	for _, b := range append(bars(), relayBars()...) {
		mine := r.values(b.ours, b.what)
		if len(mine) == 0 {
			continue
		}
		ours, best, ratio, who := b.of(mine), math.NaN(), math.NaN(), ""
		for _, rival := range b.rivals {
			v := r.values(rival, b.what)
			if len(v) == 0 {
				continue
			}
			if got := b.of(v); math.IsNaN(best) || b.least == (got < best) {
				best, ratio, who = got, b.ratio(mine, v), rival
			}
		}
		rows = append(rows, b.row(ours, best, ratio, who))
	}
	return rows
}

// ratio is ours to theirs, round by round where both took part in all: what else
// the machine does changes from round to round, and less within one.
func (b bar) ratio(mine, theirs []float64) float64 {
	if len(mine) != len(theirs) {
		return b.of(mine) / b.of(theirs)
	}
	var each []float64
	for i := range mine {
		each = append(each, mine[i]/theirs[i])
	}
	return b.of(each)
}

func (b bar) row(ours, best, ratio float64, who string) []string {
	got, want, text := ours, b.figure, format(b.figure)
	if b.share > 0 {
		got, want, text = ratio, b.share, format(b.share)+" × "+who
	}
	sign, met := "≥ ", got >= want
	if b.least {
		sign, met = "≤ ", got <= want
	}
	verdict := "missed"
	switch {
	case math.IsNaN(ours):
		verdict = "not measured"
	case met:
		verdict = "met"
	}
	theirs, ratioText := "–", "–"
	if who != "" {
		theirs = format(best) + ", " + who
		if !math.IsInf(best, 1) && !math.IsInf(ours, 1) {
			ratioText = format(ratio) + " ×"
		}
	}
	return []string{string(b.what) + b.comment, b.ours, format(ours), theirs, ratioText, sign + text, verdict}
}

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
		{what: tcp1, ours: "adit-derp", rivals: []string{"tailscaled-derp"}, share: 2, q: half},
	}
}

// bars writes what is to be reached beside what is.
func (r results) bars() [][]string {
	rows := [][]string{{"what", "who", "ours", "best of the others", "ratio", "bar", ""}}
	for _, b := range bars() {
		mine := r.values(b.ours, b.what)
		if len(mine) == 0 {
			continue
		}
		ours, best, who := quantile(mine, b.q), math.NaN(), ""
		for _, rival := range b.rivals {
			v := r.values(rival, b.what)
			if len(v) == 0 {
				continue
			}
			if got := quantile(v, b.q); math.IsNaN(best) || b.least == (got < best) {
				best, who = got, rival
			}
		}
		rows = append(rows, b.row(ours, best, who))
	}
	return rows
}

func (b bar) row(ours, best float64, who string) []string {
	want, text := b.figure, ""
	if b.share > 0 {
		want, text = b.share*best, format(b.share)+" × "+who
	} else {
		text = format(want)
	}
	sign, met := "≥ ", ours >= want
	if b.least {
		sign, met = "≤ ", ours <= want
	}
	verdict := "missed"
	if met {
		verdict = "met"
	}
	theirs, ratio := "–", "–"
	if who != "" {
		theirs = format(best) + ", " + who
	}
	if who != "" && !math.IsInf(best, 1) && !math.IsInf(ours, 1) {
		ratio = format(ours/best) + " ×"
	}
	return []string{string(b.what) + b.comment, b.ours, format(ours), theirs, ratio, sign + text, verdict}
}

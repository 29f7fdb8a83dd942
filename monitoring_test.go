package adit_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What operators are given to watch names metrics and labels that there are.
func TestDashboardAndAlertsNameMetricsThatExist(t *testing.T) {
	var source strings.Builder
	for _, pattern := range []string{"coordinator/metrics/*.go", "derp/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, files, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(raw)
		}
	}
	declared := func(name string) bool { return strings.Contains(source.String(), `"`+name+`"`) }

	metric := regexp.MustCompile(`\b(adit_[a-z_]+)(?:\{([^}]*)\})?`)
	label := regexp.MustCompile(`([a-z]+)=~?\\?"`)
	by := regexp.MustCompile(`\b(?:by|ignoring) \(([a-z, ]+)\)`)
	scraped := []string{"job", "instance", "le"} // Prometheus's own
	for _, file := range []string{"deploy/monitoring/rules.yaml", "deploy/monitoring/grafana.json"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := metric.FindAllStringSubmatch(string(raw), -1)
		if len(found) < 10 {
			t.Errorf("%s names %d metrics", file, len(found))
		}
		var labels []string
		for _, m := range found {
			name := m[1]
			if !declared(name) {
				for _, suffix := range []string{"_bucket", "_sum", "_count"} {
					name = strings.TrimSuffix(name, suffix)
				}
			}
			if !declared(name) {
				t.Errorf("%s names %s, which nothing tells", file, m[1])
			}
			for _, l := range label.FindAllStringSubmatch(m[2], -1) {
				labels = append(labels, l[1])
			}
		}
		for _, b := range by.FindAllStringSubmatch(string(raw), -1) {
			labels = append(labels, strings.Split(b[1], ", ")...)
		}
		for _, l := range labels {
			if !slices.Contains(scraped, l) && !declared(l) {
				t.Errorf("%s has the label %s, which no metric has", file, l)
			}
		}
	}
}

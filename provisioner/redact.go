package provisioner

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

const (
	// redacted stands where a secret was.
	redacted = "(sensitive)"

	// minSecret is the shortest text that is looked for: of shorter ones a log
	// is full anyway, and saying where they are tells them.
	minSecret = 4

	// minCredential is the same for what the environment only looks to hold.
	minCredential = 8
)

// aditToken is any of adit's tokens.
var aditToken = regexp.MustCompile(`adit_(?:[a-z]+_)?[0-9a-f]{32}_[A-Za-z0-9_-]+`)

// credentialName matches variables of the environment that hold one.
var credentialName = regexp.MustCompile(`(?i)(TOKEN|SECRET|PASSWORD|PASSWD|PRIVATE_KEY|ACCESS_KEY|API_KEY|CREDENTIALS)`)

// redactor takes secrets out of what is told about a job.
type redactor struct{ replace *strings.Replacer }

// newRedactor knows the job's secrets and those in the environment that it
// inherits.
func newRedactor(secrets, environ []string) *redactor {
	known := make(map[string]bool)
	add := func(s string, shortest int) {
		// Logs come by line.
		for line := range strings.SplitSeq(s, "\n") {
			if line = strings.TrimSpace(line); len(line) < shortest {
				continue
			}
			known[line] = true
			known[base64.StdEncoding.EncodeToString([]byte(line))] = true
			if quoted, err := json.Marshal(line); err == nil {
				known[strings.Trim(string(quoted), `"`)] = true
			}
		}
		if len(s) >= shortest {
			known[base64.StdEncoding.EncodeToString([]byte(s))] = true
		}
	}
	for _, s := range secrets {
		add(s, minSecret)
	}
	for _, kv := range environ {
		if name, value, _ := strings.Cut(kv, "="); credentialName.MatchString(name) && !strings.HasPrefix(value, "/") {
			add(value, minCredential)
		}
	}
	var pairs []string
	all := make([]string, 0, len(known))
	for s := range known {
		all = append(all, s)
	}
	// The longest first: a secret may be within another.
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	for _, s := range all {
		pairs = append(pairs, s, redacted)
	}
	return &redactor{strings.NewReplacer(pairs...)}
}

func (r *redactor) redact(s string) string {
	return aditToken.ReplaceAllString(r.replace.Replace(s), redacted)
}

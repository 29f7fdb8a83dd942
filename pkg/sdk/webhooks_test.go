package sdk

import (
	"errors"
	"testing"
	"time"
)

func TestVerifyWebhook(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	body := []byte(`{"version":1}`)
	header := SignWebhook("secret", at, body)
	// HMAC-SHA256 of "1700000000.{"version":1}", by openssl.
	if want := "t=1700000000,v1=6c49492c841520e805df0f6652ac4859b2bf8a94b97b7fe2664f0c02e62d2c85"; header != want {
		t.Errorf("got  %s\nwant %s", header, want)
	}
	for name, c := range map[string]struct {
		secret, header, body string
		now                  time.Time
		good                 bool
	}{
		"good":               {"secret", header, string(body), at.Add(time.Minute), true},
		"with others":        {"secret", "v0=xyz, " + header, string(body), at, true},
		"another secret":     {"public", header, string(body), at, false},
		"another body":       {"secret", header, `{"version":2}`, at, false},
		"replayed later":     {"secret", header, string(body), at.Add(10 * time.Minute), false},
		"of the future":      {"secret", header, string(body), at.Add(-10 * time.Minute), false},
		"another time":       {"secret", "t=1700000001" + header[12:], string(body), at, false},
		"no time":            {"secret", header[13:], string(body), at, false},
		"nothing":            {"secret", "", string(body), at, false},
		"signature is empty": {"secret", "t=1700000000,v1=", string(body), at, false},
	} {
		err := VerifyWebhook(c.secret, c.header, []byte(c.body), c.now, 5*time.Minute)
		if (err == nil) != c.good || err != nil && !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

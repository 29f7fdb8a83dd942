package sdk

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// A signature is good for what was signed with the secret, at the time it says, and
// for nothing else.
func FuzzVerifyWebhook(f *testing.F) {
	at := time.Unix(1_700_000_000, 0)
	f.Add(SignWebhook("secret", at, []byte("body")), []byte("body"))
	f.Add("t=1700000000,v1=", []byte("body"))
	f.Add("t=-9223372036854775808,v1=00", []byte(nil))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		if VerifyWebhook("secret", header, body, at, time.Minute) != nil {
			return
		}
		if !bytes.Equal(body, []byte("body")) || !strings.Contains(strings.ToLower(header), SignWebhook("secret", at, body)[len("t=1700000000,v1="):]) {
			t.Errorf("%q is good for %q", header, body)
		}
	})
}

// However the bytes of a stream fall, what is read of it is events with an id that
// was said, and it ends.
func FuzzEventStream(f *testing.F) {
	f.Add([]byte("event: ready\nid: 7\ndata: {}\n\n: here\nid: 8\n\n"))
	f.Add([]byte("id: x\n\n"))
	f.Add([]byte("data: a\r\ndata: b\n\n\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, lines := newEventScanner(bytes.NewReader(raw)), 0
		for {
			e, err := s.next(func() { lines++ })
			if err != nil {
				break
			}
			if e.id < -1 && !bytes.Contains(raw, []byte("-")) || len(e.data) > len(raw) {
				t.Errorf("%+v of %q", e, raw)
			}
		}
		if lines > bytes.Count(raw, []byte("\n"))+1 {
			t.Errorf("%d lines of %q", lines, raw)
		}
	})
}

// Whatever answers a request, and calls itself whatever it likes: the error has the
// answer's status, text for people, and a wait that is none or lies ahead.
func FuzzRefused(f *testing.F) {
	f.Add(429, "15", `{"status":429,"detail":"wait"}`)
	f.Add(503, "-1", `{"status":"x"}`)
	f.Add(502, "Wed, 21 Oct 2015 07:28:00 GMT", "<html>")
	f.Add(404, "99999999999999999999", `{"status":200,"title":"","errors":[{}]}`)
	c := New(&url.URL{Scheme: "https", Host: "adit.example.com"}, "")
	f.Fuzz(func(t *testing.T, status int, wait, body string) {
		if status < 400 || status > 599 {
			return
		}
		err := c.refused(&http.Response{StatusCode: status, Header: http.Header{"Retry-After": {wait}}, Body: io.NopCloser(strings.NewReader(body))})
		var e *Error
		if !errors.As(err, &e) || e.Status != status || e.RetryAfter < 0 {
			t.Errorf("%d %q %q became %+v", status, wait, body, err)
		}
		if http.StatusText(status) != "" && err.Error() == "" {
			t.Errorf("%d %q says nothing", status, body)
		}
	})
}

package redact

import (
	"strings"
	"testing"
)

func TestSecretsGoAndTheRestStays(t *testing.T) {
	key := "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIKq\nhunter2\n-----END EC PRIVATE KEY-----"
	r := New("s3cr3t-Value/1", "first line\nsecond line", "abc")
	for text, want := range map[string]string{
		"token adit_user_0123456789abcdef0123456789abcdef_hunter2-_x denied":                   "token " + Hidden + " denied",
		"path=/workspaces/me/adit_0123456789abcdef0123456789abcdef_hunter2-_x":                 "path=/workspaces/me/" + Hidden,
		"postgres://adit:hunter2@db:5432/adit?sslmode=disable":                                 "postgres://adit:" + Hidden + "@db:5432/adit?sslmode=disable",
		"host=db user=adit password=hunter2 dbname=adit":                                       "host=db user=adit password=" + Hidden + " dbname=adit",
		`{"password":"hunter2","name":"dev"}`:                                                  `{"password":"` + Hidden + `","name":"dev"}`,
		`msg="{\"client_secret\":\"hunter2\"}"`:                                                `msg="{\"client_secret\":\"` + Hidden + `\"}"`,
		"Authorization: Bearer hunter2hunter2":                                                 "Authorization: Bearer " + Hidden,
		"got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.hunter2sig here":                             "got " + Hidden + " here",
		"AWS_SECRET_ACCESS_KEY=hunter2":                                                        "AWS_SECRET_ACCESS_KEY=" + Hidden,
		key:                                                                                    "-----BEGIN EC PRIVATE KEY-----" + Hidden + "-----END EC PRIVATE KEY-----",
		"s3cr3t-Value/1 and s3cr3t-Value%2F1":                                                  Hidden + " and " + Hidden,
		"second line alone":                                                                    Hidden + " alone",
		"client-secret=\nemail-domains=[]\ntoken:\nnext":                                       "client-secret=\nemail-domains=[]\ntoken:\nnext",
		"abc is too short to be told":                                                          "abc is too short to be told",
		"node joined node=6f1c name=alice agent=true from=192.0.2.1:4242":                      "node joined node=6f1c name=alice agent=true from=192.0.2.1:4242",
		"the token was revoked or has expired; sign in again":                                  "the token was revoked or has expired; sign in again",
		"http://user@host/path and https://adit.example.com:8443/x, time 12:30:00 a@b.example": "http://user@host/path and https://adit.example.com:8443/x, time 12:30:00 a@b.example",
	} {
		if got := r.Text(text); got != want {
			t.Errorf("%q\n became %q\n want   %q", text, got, want)
		}
	}
}

func TestWriterSaysThatAllWasWritten(t *testing.T) {
	var b strings.Builder
	line := "password=hunter2 long enough to differ in length\n"
	if n, err := New().Writer(&b).Write([]byte(line)); n != len(line) || err != nil {
		t.Errorf("%d, %v, want %d", n, err, len(line))
	}
	if strings.Contains(b.String(), "hunter2") {
		t.Error(b.String())
	}
}

// What was redacted has nothing more to hide, and no text makes it fail.
func FuzzText(f *testing.F) {
	f.Add("postgres://a:b@c password=hunter2 Bearer abcdefgh")
	r := New("hunter2")
	f.Fuzz(func(t *testing.T, s string) {
		if got := r.Text(s + " hunter2 "); strings.Contains(got, "hunter2") {
			t.Errorf("%q became %q", s, got)
		}
	})
}

package forge

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"testing"
)

const secret = "adit_push_secret"

func sign(body, key string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

const pushed = `{"ref":"refs/heads/feature/x","before":"00","after":"9f","commits":[{"id":"9f"}]}`

func TestWhatForgesPost(t *testing.T) {
	github := func(event, body string) http.Header {
		return http.Header{"X-Github-Event": {event}, "X-Hub-Signature-256": {sign(body, secret)}}
	}
	for name, c := range map[string]struct {
		header http.Header
		body   string
		branch string
		err    error
	}{
		"GitHub": {github("push", pushed), pushed, "feature/x", nil},
		"Gitea": {http.Header{
			"X-Gitea-Event": {"push"}, "X-Github-Event": {"push"}, "X-Gitea-Signature": {sign(pushed, secret)[7:]}, "X-Hub-Signature-256": {sign(pushed, secret)},
		}, pushed, "feature/x", nil},
		"GitLab":           {http.Header{"X-Gitlab-Event": {"Push Hook"}, "X-Gitlab-Token": {secret}}, pushed, "feature/x", nil},
		"GitLab, a merge":  {http.Header{"X-Gitlab-Event": {"Merge Request Hook"}, "X-Gitlab-Token": {secret}}, `{}`, "", nil},
		"GitHub tries out": {github("ping", `{"zen":"x"}`), `{"zen":"x"}`, "", nil},
		"a tag":            {github("push", `{"ref":"refs/tags/v1"}`), `{"ref":"refs/tags/v1"}`, "", nil},
		"GitHub deleted":   {github("push", `{"ref":"refs/heads/x","deleted":true}`), `{"ref":"refs/heads/x","deleted":true}`, "", nil},
		"GitLab deleted":   {http.Header{"X-Gitlab-Event": {"Push Hook"}, "X-Gitlab-Token": {secret}}, `{"ref":"refs/heads/x","after":"0000"}`, "", nil},
		"as a form":        {github("push", "payload=x"), "payload=x", "", ErrForm},

		"unsigned":              {http.Header{"X-Github-Event": {"push"}}, pushed, "", ErrUnsigned},
		"another body":          {github("push", pushed), pushed + " ", "", ErrUnsigned},
		"another secret":        {http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {sign(pushed, "x")}}, pushed, "", ErrUnsigned},
		"SHA-1":                 {http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature": {"sha1=00"}}, pushed, "", ErrUnsigned},
		"no hexadecimal":        {http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {"sha256=xyz"}}, pushed, "", ErrUnsigned},
		"cut short":             {http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {sign(pushed, secret)[:20]}}, pushed, "", ErrUnsigned},
		"GitLab, another token": {http.Header{"X-Gitlab-Event": {"Push Hook"}, "X-Gitlab-Token": {secret + "x"}}, pushed, "", ErrUnsigned},
		"two that disagree":     {http.Header{"X-Gitlab-Token": {"x"}, "X-Github-Event": {"push"}, "X-Hub-Signature-256": {sign(pushed, secret)}}, pushed, "", ErrUnsigned},
	} {
		branch, err := Read(c.header, []byte(c.body), secret)
		if branch != c.branch || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v; want %q, %v", name, branch, err, c.branch, c.err)
		}
	}
}

// Nothing that is posted without the secret is a push.
func FuzzRead(f *testing.F) {
	f.Add("push", sign(pushed, "x"), "", pushed)
	f.Add("", "", "x", pushed)
	f.Fuzz(func(t *testing.T, event, signature, token, body string) {
		h := http.Header{"X-Github-Event": {event}, "X-Hub-Signature-256": {signature}, "X-Gitlab-Token": {token}}
		if _, err := Read(h, []byte(body), secret); !errors.Is(err, ErrUnsigned) && signature != sign(body, secret) && token != secret {
			t.Errorf("it is taken: %v", err)
		}
	})
}

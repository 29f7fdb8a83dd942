// Package forge speaks with what keeps git repositories, such as GitHub, GitLab, Gitea
// and Forgejo: [Read] reads what they post when somebody has pushed, and [Fetch] fetches
// the files of a template from there.
//
// What is posted is believed only if it is signed, and then no more than that there may
// be something new: what that is, is asked of the repository.
package forge

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// MaxPosted bounds what is posted. It lists commits, a kilobyte each, of which the
// largest forge tells 2,048 at most.
const MaxPosted = 4 << 20

// ErrUnsigned is something posted that nobody signed who has the secret.
var ErrUnsigned = errors.New("it is not signed with the webhook's secret; see the secret that the forge has, which is shown once by 'adit templates webhook create'")

// ErrForm is something posted in a form that is not read.
var ErrForm = errors.New("want a body of JSON; choose application/json as the content type of the webhook")

// Read returns the branch that somebody has pushed to, as an unsigned, or by whom it is
// signed: ErrUnsigned unless a forge did that with the secret. It is "" if something else
// happened: the forge tries the webhook out, say, or a branch was deleted.
//
// GitHub, Gitea and Forgejo sign with HMAC-SHA-256, GitLab shows the secret itself.
func Read(h http.Header, body []byte, secret string) (branch string, err error) {
	if !signed(h, body, secret) {
		return "", ErrUnsigned
	}
	event := h.Get("X-GitHub-Event")
	if event == "" {
		event = h.Get("X-Gitlab-Event")
	}
	if event != "push" && event != "Push Hook" {
		return "", nil
	}
	var push struct {
		Ref     string `json:"ref"`
		After   string `json:"after"`
		Deleted bool   `json:"deleted"`
	}
	if err := json.Unmarshal(body, &push); err != nil {
		return "", fmt.Errorf("%w (%w)", ErrForm, err)
	}
	branch, ok := strings.CutPrefix(push.Ref, "refs/heads/")
	if !ok || push.Deleted || push.After != "" && strings.Trim(push.After, "0") == "" {
		return "", nil
	}
	return branch, nil
}

// signed compares in constant time.
func signed(h http.Header, body []byte, secret string) bool {
	if token := h.Get("X-Gitlab-Token"); token != "" {
		is, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(secret))
		return subtle.ConstantTimeCompare(is[:], want[:]) == 1
	}
	text, ok := strings.CutPrefix(h.Get("X-Hub-Signature-256"), "sha256=")
	is, err := hex.DecodeString(text)
	if !ok || err != nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hmac.Equal(is, mac.Sum(nil))
}

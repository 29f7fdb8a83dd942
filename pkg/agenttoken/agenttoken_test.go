package agenttoken

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestTokensAreStableAndApart(t *testing.T) {
	ws := uuid.MustParse("00112233-4455-4677-8899-aabbccddeeff")
	secret := bytes.Repeat([]byte{7}, SecretSize)
	// Written down, for a token that changes with a release would lock out
	// every agent at once.
	const want = "adit_agent_ea0046b499355e55b3bad4e41c783ab7_C3nArKZU1w8NMdejmo3gTaZRX2e9ji2m5Ovds3SruxE"
	got := Token(ws, secret, "main")
	if got != want {
		t.Errorf("token %s, want %s", got, want)
	}
	for what, other := range map[string]string{
		"name":      Token(ws, secret, "other"),
		"workspace": Token(uuid.Max, secret, "main"),
		"build":     Token(ws, bytes.Repeat([]byte{8}, SecretSize), "main"),
	} {
		if other == got {
			t.Errorf("another %s has the same token", what)
		}
	}
	if id := strings.ReplaceAll(ID(ws, "main").String(), "-", ""); !strings.HasPrefix(got, Prefix+id+"_") {
		t.Errorf("token %s does not name its agent %s", got, id)
	}
}

// Package secret makes and checks the random secrets inside tokens. They are
// 256 bits long, so a plain SHA-256 is enough to keep them: there is nothing
// to guess that a slow hash would protect.
package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// size is the length of a secret in bytes.
const size = 32

// New returns a secret as text and the hash to keep of it.
func New() (text string, hash []byte) {
	var raw [size]byte
	rand.Read(raw[:])
	text = base64.RawURLEncoding.EncodeToString(raw[:])
	return text, Hash(text)
}

// Hash returns what to keep of a secret.
func Hash(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// Match reports, in constant time, whether text is the secret with this hash.
func Match(text string, hash []byte) bool {
	return subtle.ConstantTimeCompare(Hash(text), hash) == 1
}

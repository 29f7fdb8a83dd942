// Package certpin names certificates by the SHA-256 of their DER bytes, as relay
// maps do for those that no authority has signed: "sha256-raw:" and 64 hex digits.
package certpin

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

const prefix = "sha256-raw:"

// Of returns the pin of a certificate.
func Of(der []byte) string {
	sum := sha256.Sum256(der)
	return prefix + hex.EncodeToString(sum[:])
}

// Parse returns the sum that a pin names.
func Parse(pin string) (sum [sha256.Size]byte, err error) {
	digits, ok := strings.CutPrefix(pin, prefix)
	raw, err := hex.DecodeString(digits)
	if !ok || err != nil || len(raw) != len(sum) {
		return sum, fmt.Errorf("certificate pin %.80q: want %s and 64 hex digits", pin, prefix)
	}
	return [sha256.Size]byte(raw), nil
}

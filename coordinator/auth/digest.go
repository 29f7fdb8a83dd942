package auth

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Parameters of argon2id for new digests: the second recommendation of RFC
// 9106, section 4, for where memory is scarce.
const (
	argonTime    = 3
	argonMemory  = 64 << 10 // KiB
	argonThreads = 4
	argonSalt    = 16
	argonKey     = 32
)

// argonMemoryMax bounds what a digest may ask for, in KiB: 1 GiB.
const argonMemoryMax = 1 << 20

// digest is what is kept of a password: argon2id's result, and what it takes
// to get there again.
type digest struct {
	memory, passes uint32
	threads        uint8
	salt, key      []byte
}

func newDigest(password string) digest {
	d := digest{memory: argonMemory, passes: argonTime, threads: argonThreads, salt: make([]byte, argonSalt)}
	rand.Read(d.salt)
	d.key = d.of(password, argonKey)
	return d
}

func (d digest) of(password string, size int) []byte {
	return argon2.IDKey([]byte(password), d.salt, d.passes, d.memory, d.threads, uint32(size))
}

// matches reports, in time that tells nothing, whether it is the password's.
func (d digest) matches(password string) bool {
	return subtle.ConstantTimeCompare(d.of(password, len(d.key)), d.key) == 1
}

// String writes the digest as the argon2 reference does.
func (d digest) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		d.memory, d.passes, d.threads, b64.EncodeToString(d.salt), b64.EncodeToString(d.key))
}

// parseDigest reads what String writes, and nothing else.
func parseDigest(s string) (digest, bool) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 {
		return digest{}, false
	}
	var d digest
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &d.memory, &d.passes, &d.threads); err != nil {
		return digest{}, false
	}
	var err1, err2 error
	d.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	d.key, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	ok := err1 == nil && err2 == nil && d.passes > 0 && d.threads > 0 && d.memory <= argonMemoryMax &&
		len(d.key) > 0 && d.String() == s
	return d, ok
}

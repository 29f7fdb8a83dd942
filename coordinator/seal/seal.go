// Package seal keeps what the database has and may not tell: it seals data with
// AES-256-GCM under keys that are elsewhere, bound to what it is good for.
//
// [Load] reads a file of keys, [Parse] their text. The first key seals. Others
// open what was sealed before [Rotate], until all is sealed anew and
// [Keys.ForgetOlder] removes them.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// keySize is AES-256's.
const keySize = 32

// Keys seal data and open it again. The first seals; the others open what was
// sealed before a rotation.
type Keys struct {
	current string // id
	keys    map[string]cipher.AEAD
}

// ErrNoKey is what no key that is there has sealed.
var ErrNoKey = errors.New("sealed with a key that the coordinator does not have; add it to the key file")

// Parse reads keys as they are kept: one a line, base64 of 32 bytes, the
// one that seals first.
func Parse(text string) (*Keys, error) {
	k := &Keys{keys: make(map[string]cipher.AEAD)}
	for i, line := range strings.Fields(text) {
		raw, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(raw) != keySize {
			return nil, fmt.Errorf("state key %d is not base64 of %d bytes; make one with: openssl rand -base64 %d", i+1, keySize, keySize)
		}
		block, err := aes.NewCipher(raw)
		if err != nil {
			return nil, fmt.Errorf("state key %d: %w", i+1, err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("state key %d: %w", i+1, err)
		}
		sum := sha256.Sum256(raw)
		id := hex.EncodeToString(sum[:4])
		if k.current == "" {
			k.current = id
		}
		k.keys[id] = aead
	}
	if k.current == "" {
		return nil, errors.New("there is no state key")
	}
	return k, nil
}

// NewKey returns a line of a key file.
func NewKey() string {
	raw := make([]byte, keySize)
	rand.Read(raw)
	return base64.StdEncoding.EncodeToString(raw) + "\n"
}

// Load reads a key file. It makes one, for its owner's eyes, if there is
// none.
func Load(file string) (*Keys, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		text = []byte(NewKey())
		err = writeKeys(file, string(text))
	}
	if err != nil {
		return nil, fmt.Errorf("state keys: %w", err)
	}
	k, err := Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return k, nil
}

// Rotate puts a new key at the head of a key file. What was sealed stays so
// with the others until the server that reads the file has sealed it anew.
func Rotate(file string) error {
	text, err := os.ReadFile(file)
	if err == nil {
		_, err = Parse(string(text))
	}
	if err == nil {
		err = writeKeys(file, NewKey()+string(text))
	}
	if err != nil {
		return fmt.Errorf("rotate the state key in %s: %w", file, err)
	}
	return nil
}

// ForgetOlder leaves of a key file only the key that seals, which must be k's:
// nothing may be sealed with another.
func (k *Keys) ForgetOlder(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("state keys: %w", err)
	}
	now, err := Parse(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if now.current != k.current {
		return nil // rotated again meanwhile; the next start sees to it
	}
	if err := writeKeys(file, strings.Fields(string(text))[0]+"\n"); err != nil {
		return fmt.Errorf("state keys: %w", err)
	}
	return nil
}

// HasOlder reports whether there are keys that seal no longer.
func (k *Keys) HasOlder() bool { return len(k.keys) > 1 }

// writeKeys replaces a key file, whole or not at all: without it, no state can
// be opened.
func writeKeys(file, text string) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".state-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}

// Current is the id of the key that seals.
func (k *Keys) Current() string { return k.current }

// Seal returns data sealed with the current key. It opens with the same bound
// alone: what it is, and whose.
func (k *Keys) Seal(data, bound []byte) []byte {
	aead := k.keys[k.current]
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(data)+aead.Overhead())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, data, bound)
}

// Open returns what Seal sealed, with the key of this id.
func (k *Keys) Open(id string, sealed, bound []byte) ([]byte, error) {
	aead := k.keys[id]
	if aead == nil {
		return nil, fmt.Errorf("key %.16q: %w", id, ErrNoKey)
	}
	if len(sealed) < aead.NonceSize() {
		return nil, errors.New("what was sealed is cut short")
	}
	data, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], bound)
	if err != nil {
		return nil, fmt.Errorf("what was sealed was tampered with, or belongs to something else: %w", err)
	}
	return data, nil
}

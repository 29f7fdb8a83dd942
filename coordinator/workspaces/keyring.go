package workspaces

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

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
)

// keySize is AES-256's.
const keySize = 32

// errUnsealed is that a secret of the deployment cannot be had.
var errUnsealed = errors.New("workspaces: open a sealed secret")

// Keyring seals states and opens them again. The first of its keys seals; the
// others open what was sealed before a rotation.
type Keyring struct {
	current string // id
	keys    map[string]cipher.AEAD
}

// ParseKeys reads keys as they are kept: one a line, base64 of 32 bytes, the
// one that seals first.
func ParseKeys(text string) (*Keyring, error) {
	k := &Keyring{keys: make(map[string]cipher.AEAD)}
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

// LoadKeys reads a key file. It makes one, for its owner's eyes, if there is
// none.
func LoadKeys(file string) (*Keyring, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		text = []byte(NewKey())
		err = writeKeys(file, string(text))
	}
	if err != nil {
		return nil, fmt.Errorf("state keys: %w", err)
	}
	k, err := ParseKeys(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return k, nil
}

// Rotate puts a new key at the head of a key file. States stay sealed with the
// others until the server that reads the file has sealed them anew.
func Rotate(file string) error {
	text, err := os.ReadFile(file)
	if err == nil {
		_, err = ParseKeys(string(text))
	}
	if err == nil {
		err = writeKeys(file, NewKey()+string(text))
	}
	if err != nil {
		return fmt.Errorf("rotate the state key in %s: %w", file, err)
	}
	return nil
}

// ForgetOlder leaves of a key file only the key that seals, which must be k's: no
// state may be sealed with another.
func (k *Keyring) ForgetOlder(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("state keys: %w", err)
	}
	now, err := ParseKeys(string(text))
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
func (k *Keyring) HasOlder() bool { return len(k.keys) > 1 }

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

// bound is what a sealed state is good for, and nothing else.
func bound(s store.SealedState) []byte {
	return fmt.Appendf(nil, "adit state\x00%s\x00%s\x00%d", s.WorkspaceID, s.Lineage, s.Serial)
}

// seal fills in what is kept of a state.
func (k *Keyring) seal(s *store.SealedState, data []byte) {
	s.ID, s.KeyID, s.Sealed = uuid.New(), k.current, k.sealFor(bound(*s), data)
}

// open returns a state's data.
func (k *Keyring) open(s store.SealedState) ([]byte, error) {
	data, err := k.openFor(bound(s), s.KeyID, s.Sealed)
	if err != nil {
		return nil, fmt.Errorf("state %d of workspace %s %w", s.Serial, s.WorkspaceID, err)
	}
	return data, nil
}

// sealSecret seals a secret of the deployment, for one purpose.
func (k *Keyring) sealSecret(purpose string, data []byte) store.SealedSecret {
	return store.SealedSecret{KeyID: k.current, Sealed: k.sealFor([]byte(purpose), data)}
}

// openSecret returns a secret of the deployment.
func (k *Keyring) openSecret(purpose string, s store.SealedSecret) ([]byte, error) {
	data, err := k.openFor([]byte(purpose), s.KeyID, s.Sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: the secret of %s %w", errUnsealed, purpose, err)
	}
	return data, nil
}

// sealFor seals data with the first key; it opens for the same purpose only.
func (k *Keyring) sealFor(purpose, data []byte) []byte {
	aead := k.keys[k.current]
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(data)+aead.Overhead())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, data, purpose)
}

// openFor opens what sealFor has sealed. Its errors say what is wrong with it.
func (k *Keyring) openFor(purpose []byte, keyID string, sealed []byte) ([]byte, error) {
	aead := k.keys[keyID]
	if aead == nil {
		return nil, fmt.Errorf("is sealed with key %s, which the coordinator does not have; add it to the key file", keyID)
	}
	if len(sealed) < aead.NonceSize() {
		return nil, errors.New("is cut short")
	}
	data, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], purpose)
	if err != nil {
		return nil, fmt.Errorf("was tampered with, or belongs to another: %w", err)
	}
	return data, nil
}

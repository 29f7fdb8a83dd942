package path

import (
	"encoding/hex"
	"fmt"

	"go4.org/mem"
	"tailscale.com/types/key"
)

// WireGuard's configuration protocol and adit's control protocol speak of raw
// keys; the relay's wire format of tailscale's types. This file is the border.

func nodePrivate(raw [32]byte) (key.NodePrivate, error) {
	var k key.NodePrivate
	if err := k.UnmarshalText(fmt.Appendf(nil, "privkey:%x", raw)); err != nil {
		return k, fmt.Errorf("path: private key: %w", err)
	}
	return k, nil
}

func nodePublic(raw [32]byte) key.NodePublic { return key.NodePublicFromRaw32(mem.B(raw[:])) }

func discoPublic(raw [32]byte) key.DiscoPublic { return key.DiscoPublicFromRaw32(mem.B(raw[:])) }

func rawNode(k key.NodePublic) []byte { return k.AppendTo(nil) }

// hexNode writes a key as WireGuard's configuration protocol does.
func hexNode(k key.NodePublic) string { return hex.EncodeToString(rawNode(k)) }

// parseHexNode reads what hexNode wrote.
func parseHexNode(s string) (key.NodePublic, error) {
	raw, err := hex.DecodeString(s)
	if err != nil {
		return key.NodePublic{}, err
	}
	if len(raw) != 32 {
		return key.NodePublic{}, fmt.Errorf("%d bytes, want 32", len(raw))
	}
	return key.NodePublicFromRaw32(mem.B(raw)), nil
}

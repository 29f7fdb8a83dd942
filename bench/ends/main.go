// Command ends plays the ends of tunnels: of wireguard-go and of adit, and the
// programs that send through them; and clients of relays that have no tunnel.
package main

import (
	"os"

	"github.com/aditmesh/adit/bench/role"
)

func main() {
	os.Exit(role.Play(map[string]role.Player{
		"kernel":    role.Kernel,
		"wireguard": wireGuard,
		"adit":      adit,
		"voucher":   voucher,
		"bare":      bare,
	}))
}

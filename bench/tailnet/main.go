// Command tailnet plays Tailscale's control server, as its own tests have it, and
// tsnet, its stack in a process.
package main

import (
	"os"

	"github.com/aditmesh/adit/bench/role"
)

func main() {
	os.Exit(role.Play(map[string]role.Player{"control": control, "tsnet": tsnetNode}))
}

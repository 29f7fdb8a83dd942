package main

import (
	"os"
	"strconv"

	"github.com/spf13/cobra"
)

// pathFlags adds the flags by which a node does without some way to its peers.
// Each has a variable of the environment, for the sake of programs that run
// adit, such as OpenSSH.
func (a *app) pathFlags(cmd *cobra.Command) {
	for _, f := range []struct {
		value           *bool
		name, env, help string
	}{
		{&a.path.RelayOnly, "relay-only", "ADIT_RELAY_ONLY", "use no direct path, only relays"},
		{&a.path.NoPortGuessing, "no-port-guessing", "ADIT_NO_PORT_GUESSING", "do not try many ports to pass a hard NAT"},
		{&a.path.NoUDPOffload, "no-udp-offload", "ADIT_NO_UDP_OFFLOAD", "do not let the kernel join and split UDP packets"},
		{&a.path.NoPortMapping, "no-port-mapping", "ADIT_NO_PORT_MAPPING", "do not ask the router to let packets in (UPnP, NAT-PMP, PCP)"},
	} {
		set, _ := strconv.ParseBool(os.Getenv(f.env)) // nonsense is no
		cmd.Flags().BoolVar(f.value, f.name, set, f.help+" (env "+f.env+")")
	}
	const env = "ADIT_RELAY_REGION"
	cmd.Flags().StringVar(&a.path.RelayRegion, "relay-region", os.Getenv(env), "be reached by the relays of this region, or of none behind a \"-\", as in -eu,-us (env "+env+")")
}

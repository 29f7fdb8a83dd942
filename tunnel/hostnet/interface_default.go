//go:build !linux

package hostnet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"golang.zx2c4.com/wireguard/tun"
)

// commandTimeout bounds each of the system's own commands.
const commandTimeout = 10 * time.Second

func kindOf(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w", ErrPermission, err)
	}
	return err
}

func create(name string) (tun.Device, error) { return tun.CreateTUN(name, MTU) }

// setUp has nothing to do: an interface is up once it has an address.
func (i *Interface) setUp() error { return nil }

func (i *Interface) setAddresses(addrs []netip.Addr, routes []netip.Prefix) error {
	return run(addressCommands(i.name, addrs, routes))
}

// run runs commands one after another.
func run(commands [][]string) error {
	for _, c := range commands {
		ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
		out, err := exec.CommandContext(ctx, c[0], c[1:]...).CombinedOutput()
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(c, " "), err, out)
		}
	}
	return nil
}

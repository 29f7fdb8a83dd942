package hostnet

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheResolversFileIsRestored(t *testing.T) {
	const conf = "nameserver 192.0.2.1\n"
	server := netip.MustParseAddr("127.0.17.53")
	for name, prepare := range map[string]func(t *testing.T, path string){
		"a file": func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(conf), 0o640); err != nil {
				t.Fatal(err)
			}
		},
		"a link, as of NetworkManager and resolvconf": func(t *testing.T, path string) {
			to := filepath.Join(t.TempDir(), "resolv.conf")
			if err := os.WriteFile(to, []byte(conf), 0o640); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(to, path); err != nil {
				t.Fatal(err)
			}
		},
		"none": func(*testing.T, string) {},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "resolv.conf")
			prepare(t, path)
			before := describeFile(t, path)
			f := &confFile{path: path, server: server}
			for range 2 { // the second finds its own work
				if err := f.add(); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(path)
			if got := nameservers(text); err != nil || got[0] != server || len(got) > 2 {
				t.Errorf("%s (%v)", text, err)
			}
			if err := f.remove(); err != nil {
				t.Fatal(err)
			}
			if after := describeFile(t, path); after != before {
				t.Errorf("was %s, is %s", before, after)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func describeFile(t *testing.T, path string) string {
	t.Helper()
	st, err := os.Lstat(path)
	if os.IsNotExist(err) {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	to, _ := os.Readlink(path) // empty for a file
	whole, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode().Type().String() + " " + to + " " + whole.Mode().String() + " " + string(text)
}

// A machine that wants TLS or signatures of every server is told that ours has none.
func TestNothingIsAskedOfTheResponderThatItCannotDo(t *testing.T) {
	args := resolvectlArgs(ResolverConfig{Interface: "adit0", Suffix: "adit", Server: netip.MustParseAddrPort("127.0.17.53:53")})
	for _, what := range []string{"default-route", "dnsovertls", "dnssec", "llmnr", "mdns"} {
		if !slices.ContainsFunc(args, func(a []string) bool { return slices.Equal(a, []string{what, "adit0", "no"}) }) {
			t.Errorf("%s stays as the machine has it: %q", what, args)
		}
	}
}

// Lines of the kernel's table of sockets, of a machine of this byte order.
func TestRemoteEndsAreReadFromTheKernelsTable(t *testing.T) {
	for line, want := range map[string]string{
		"  0: 0100007F:1F90 0500A8C0:D431 01 00000000:00000000 00:00000000 00000000 0 0 1 1":  "192.168.0.5",
		"  1: 00000000000000000000000001000000:0016 17 00 0A":                                 "",
		"  2: 0100007F:1F90 0500A8C0:D431 06 00000000:00000000":                               "", // TIME_WAIT
		"  3: 0000ADFD00000000000000000100ADFD:0016 1700ADFD0000017AEEDDCCBB00000053:1F90 01": "fdad:17:7a01:0:bbcc:ddee:5300:0",
		"sl local_address rem_address st":                                                     "",
		"":                                                                                    "",
	} {
		got, ok := connectionOf(line)
		if ok != (want != "") || ok && got.Remote.Addr().String() != want {
			t.Errorf("%q: %v, %v; want %q", line, got, ok, want)
		}
	}
}

// On a machine that starts, the file may be a link to what its resolver has yet to write, in a
// directory that it has yet to make: it is the resolver's to make, which may refuse one that is
// there. Names are found as soon as it has.
func TestALinkToWhatIsNotThereYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		conf, made := filepath.Join(dir, "etc", "resolv.conf"), filepath.Join(dir, "run", "manager")
		for _, d := range []string{filepath.Dir(conf), filepath.Dir(made)} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("../run/manager/resolv.conf", conf); err != nil {
			t.Fatal(err)
		}
		server := netip.MustParseAddrPort("127.0.17.53:53")
		r, err := openResolver(ResolverConfig{Interface: "adit9", Suffix: "adit", Server: server}, conf, filepath.Join(dir, "stub"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		if _, err := os.Stat(made); err == nil {
			t.Error("made a directory that is not ours")
		}

		const names = "nameserver 192.0.2.1\n"
		if err := os.Mkdir(made, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(made, "resolv.conf"), []byte(names), 0o644); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		text, err := os.ReadFile(conf)
		if got := nameservers(text); err != nil || len(got) != 2 || got[0] != server.Addr() {
			t.Errorf("%q, %v", text, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if text, _ := os.ReadFile(conf); string(text) != names {
			t.Errorf("restored to %q", text)
		}
		if to, _ := os.Readlink(conf); to != "../run/manager/resolv.conf" {
			t.Errorf("a link to %q", to)
		}
	})
}

// A machine may start systemd-resolved after the daemon, which then asks it.
func TestTheResolverMovesToSystemdResolved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		conf, stub, called := filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "stub-resolv.conf"), filepath.Join(dir, "called")
		write := func(path, text string, mode os.FileMode) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), mode); err != nil {
				t.Fatal(err)
			}
		}
		// It runs once its stub is there.
		write(filepath.Join(dir, "resolvectl"), "#!/bin/sh\n[ -e "+stub+" ] && echo \"$@\" >> "+called+"\n", 0o755)
		t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		const names = "nameserver 127.0.0.53\noptions edns0\n"
		write(conf, names, 0o644)
		changes := 0
		r, err := openResolver(ResolverConfig{Interface: "adit9", Suffix: "adit", Server: netip.MustParseAddrPort("127.0.17.53:53"), Changed: func() { changes++ }}, conf, stub)
		if err != nil {
			t.Fatal(err)
		}
		if r.How() != conf {
			t.Errorf("by %s while it does not run", r.How())
		}
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		if text, _ := os.ReadFile(conf); !bytes.HasPrefix(text, []byte(blockBegin)) {
			t.Errorf("our line is gone: %s", text)
		}

		write(stub, names, 0o644)
		time.Sleep(lookEvery)
		<-r.done
		if text, _ := os.ReadFile(conf); r.How() != "systemd-resolved" || string(text) != names || r.Others() != nil || changes == 0 {
			t.Errorf("by %s, others %v, %d changes, with %s", r.How(), r.Others(), changes, text)
		}
		if err := r.SetReverse([]netip.Prefix{netip.MustParsePrefix("100.64.0.0/16")}); err != nil {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if text, _ := os.ReadFile(called); !strings.Contains(string(text), "domain adit9 ~adit\n") || !strings.Contains(string(text), "64.100.in-addr.arpa") || !strings.HasSuffix(string(text), "revert adit9\n") {
			t.Errorf("called with %s", text)
		}
	})
}

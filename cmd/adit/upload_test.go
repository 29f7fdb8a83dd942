package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// What the daemon costs whoever may reach a thousand workspaces and uses ten. It takes
// a minute, most of which the daemon does nothing.
func TestUpWithAThousandWorkspaces(t *testing.T) {
	if os.Getenv("LOAD") != "full" {
		t.Skip("LOAD=full measures")
	}
	const reachable, used, idle = 1000, 10, 30 * time.Second
	v := deployVPN(t)
	for i := range used {
		token := v.create(fmt.Sprintf("used%d", i))
		v.deployment.start(v.devbox, "agent.log", "agent", "--url", v.url(), "--token", token).waitFor("agent ready")
	}
	v.deployment.start(v.laptop, "loadtest.log", "loadtest", "agents", "--count", strconv.Itoa(reachable), "--hold", "10m").waitFor("holding agents")

	began := time.Now()
	v.start()
	up := time.Since(began)
	var banner string
	if err := v.laptop.Do(func() error {
		s := v.status()
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(addressOf(s.Peers, "main.used0.alice"), "22"), patience)
		if err != nil {
			return err
		}
		defer conn.Close()
		first := make([]byte, 7)
		_, err = conn.Read(first)
		banner = string(first)
		return err
	}); err != nil || banner != "SSH-2.0" {
		t.Fatalf("%q, %v", banner, err)
	}
	firstByte := time.Since(began)
	for i := range used {
		v.must("ping", "-c", "1", fmt.Sprintf("used%d.adit", i))
	}
	s := v.status()
	if len(s.Peers) < reachable {
		t.Fatalf("%d agents to reach", len(s.Peers))
	}
	var spent [4]time.Duration // after each third of the time
	for i := range spent {
		if i > 0 {
			<-time.After(idle / 3) // what is measured
		}
		spent[i] = cpuOf(t, s.PID)
	}
	cpu := (spent[3] - spent[0]).Seconds() / idle.Seconds()

	var took []time.Duration
	if err := v.laptop.Do(func() error {
		conn, err := net.Dial("udp", "127.0.17.53:53")
		if err != nil {
			return err
		}
		defer conn.Close()
		buf := make([]byte, 1500)
		for i := range 5000 {
			// Addresses of those that are used, and what is no address of all others: it
			// is names that are measured here, not a thousand tunnels that they begin.
			q := dnsmessage.Question{Name: dnsmessage.MustNewName(s.Peers[i%len(s.Peers)].Name + ".adit."), Type: dnsmessage.TypeTXT, Class: dnsmessage.ClassINET}
			if i%2 == 0 {
				q.Name, q.Type = dnsmessage.MustNewName(fmt.Sprintf("used%d.adit.", i%used)), dnsmessage.TypeAAAA
			}
			m := dnsmessage.Message{Questions: []dnsmessage.Question{q}}
			query, err := m.Pack()
			if err != nil {
				return err
			}
			start := time.Now()
			if _, err := conn.Write(query); err != nil {
				return err
			}
			if _, err := conn.Read(buf); err != nil {
				return err
			}
			took = append(took, time.Since(start))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(took)
	memory := memoryOf(t, s.PID)
	t.Logf("up after %v, first byte after %v; %d reachable, %d used: RSS %d MB (%d its own, %d of its file), idle %.2f %% of a core (%v, %v, %v in each third of %v); DNS p50 %v, p99 %v",
		up.Round(time.Millisecond), firstByte.Round(time.Millisecond), len(s.Peers), used, (memory.own+memory.file)>>20, memory.own>>20, memory.file>>20, 100*cpu, spent[1]-spent[0], spent[2]-spent[1], spent[3]-spent[2], idle,
		took[len(took)/2], took[len(took)*99/100])
	if all := memory.own + memory.file; all > 80<<20 {
		t.Errorf("%d MB are in memory, want 80 at most", all>>20)
	}
}

func addressOf(peers []statusPeer, name string) string {
	for _, p := range peers {
		if p.Name == name {
			return p.Addresses[0].String()
		}
	}
	return ""
}

// cpuOf returns what a process has computed so far.
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	const user, system, perSecond = 11, 12, 100
	u, _ := strconv.Atoi(fields[user])
	s, _ := strconv.Atoi(fields[system])
	return time.Duration(u+s) * time.Second / perSecond
}

// residence is how much of a process is in memory, in bytes: what it made itself, and of
// the files that it maps.
type residence struct{ own, file int }

func memoryOf(t *testing.T, pid int) residence {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	var r residence
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) == 3 && f[2] == "kB" {
			kB, _ := strconv.Atoi(f[1])
			switch f[0] {
			case "RssAnon:", "RssShmem:":
				r.own += kB << 10
			case "RssFile:":
				r.file += kB << 10
			}
		}
	}
	return r
}

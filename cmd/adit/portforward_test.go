package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
)

// shoutOn answers everything in capitals: on connections once they are half closed,
// and each datagram.
func shoutOn(t *testing.T, h *netlab.Host, network, address string) {
	t.Helper()
	var l net.Listener
	var packets net.PacketConn
	if err := h.Do(func() (err error) {
		if network == "udp" {
			packets, err = net.ListenPacket(network, address)
		} else {
			l, err = net.Listen(network, address)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if packets != nil {
		t.Cleanup(func() { packets.Close() })
		go func() {
			buf := make([]byte, 65535)
			for {
				n, from, err := packets.ReadFrom(buf)
				if err != nil {
					return
				}
				packets.WriteTo(bytes.ToUpper(buf[:n]), from)
			}
		}()
		return
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				data, _ := io.ReadAll(conn) // until the half-close
				conn.Write(bytes.ToUpper(data))
			}()
		}
	}()
}

// whisper asks what shouts.
func whisper(h *netlab.Host, network, address, text string) (string, error) {
	var got []byte
	err := h.Do(func() error {
		conn, err := net.Dial(network, address)
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience / 2))
		if network == "udp" {
			buf := make([]byte, 65535)
			if _, err := io.WriteString(conn, text); err != nil {
				return err
			}
			n, err := conn.Read(buf)
			got = buf[:n]
			return err
		}
		io.WriteString(conn, text)
		conn.(interface{ CloseWrite() error }).CloseWrite()
		got, err = io.ReadAll(conn)
		return err
	})
	return string(got), err
}

func everyForward(t *testing.T, d *deployment) {
	there, here := filepath.Join(d.dir, "there"), filepath.Join(d.dir, "here")
	shoutOn(t, d.devbox, "tcp", "[::1]:8001")
	shoutOn(t, d.devbox, "udp", "127.0.0.1:53")
	shoutOn(t, d.devbox, "udp", "[::1]:54")
	shoutOn(t, d.devbox, "unix", there)
	shoutOn(t, d.laptop, "tcp", "127.0.0.1:3000")
	shoutOn(t, d.laptop, "udp", "127.0.0.1:3001")
	shoutOn(t, d.laptop, "unix", here)

	out := d.start(d.laptop, "forward.log", "port-forward", "dev", "--tcp", "8000-8001:8000-8001,7000:"+there, "--udp", "5053-5054:53-54",
		"--unix", there+".near:"+there, "--tcp", here+".8001:8001")
	out.waitFor("Nothing listens on port 8000 of dev yet")
	back := d.start(d.laptop, "reverse.log", "port-forward", "dev", "--reverse", "--tcp", "4000:3000,4001:"+here, "--udp", "4002:3001", "--unix", here+".far:"+here)
	for range 4 {
		back.waitFor("of this machine")
	}
	big := strings.Repeat("x", 20_000)
	for _, c := range []struct {
		host                   *netlab.Host
		network, address, text string
	}{
		{d.laptop, "tcp", "127.0.0.1:8001", "an IPv6 loopback"},
		{d.laptop, "tcp", "127.0.0.1:7000", "a unix socket by TCP"},
		{d.laptop, "unix", there + ".near", "a unix socket by its like"},
		{d.laptop, "unix", here + ".8001", "a port by a unix socket"},
		{d.laptop, "udp", "127.0.0.1:5053", "datagrams"},
		{d.laptop, "udp", "127.0.0.1:5053", big},
		{d.laptop, "udp", "127.0.0.1:5054", "datagrams to an IPv6 loopback"},
		{d.devbox, "tcp", "127.0.0.1:4000", "back by TCP"},
		{d.devbox, "tcp", "127.0.0.1:4001", "back to a unix socket"},
		{d.devbox, "unix", here + ".far", "back from a unix socket"},
		{d.devbox, "udp", "127.0.0.1:4002", "back by datagrams"},
		{d.devbox, "udp", "127.0.0.1:4002", big},
	} {
		if got, err := whisper(c.host, c.network, c.address, c.text); err != nil || got != strings.ToUpper(c.text) {
			t.Errorf("%.40s: %.40q, %v", c.text, got, err)
		}
	}
	for _, args := range [][]string{{"--reverse", "--tcp", "4000:3000"}, {"--reverse", "--udp", "4002:1"}, {"--udp", "5053:53"}} {
		_, err := d.adit(append([]string{"port-forward", "dev"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("%v: %v, want that the address is in use", args, err)
		}
	}

	// A slow reader blocks nobody: one connection is full, and the others go on.
	var stuck net.Conn
	source, err := sourceOn(d.devbox, "127.0.0.1:8000")
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if err := d.laptop.Do(func() (err error) { stuck, err = net.Dial("tcp", "127.0.0.1:8000"); return err }); err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	io.ReadFull(stuck, make([]byte, 1))
	for i := range 5 {
		text := fmt.Sprint("beside it ", i)
		for _, c := range [][2]string{{"tcp", "127.0.0.1:8001"}, {"udp", "127.0.0.1:5053"}} {
			if got, err := whisper(d.laptop, c[0], c[1], text); err != nil || got != strings.ToUpper(text) {
				t.Errorf("%s: %q, %v", text, got, err)
			}
		}
	}

	// The agent starts anew, and what it forwarded is forwarded again.
	d.agentProc.stop()
	d.startAgent()
	for _, c := range []struct {
		host             *netlab.Host
		network, address string
	}{{d.devbox, "tcp", "127.0.0.1:4000"}, {d.laptop, "udp", "127.0.0.1:5053"}} {
		d.eventually("forwarded again: "+c.address, func() bool {
			got, err := whisper(c.host, c.network, c.address, "again")
			return err == nil && got == "AGAIN"
		})
	}
	out.stop()
	back.stop()
	for _, path := range []string{there + ".near", here + ".far"} {
		d.eventually("gone: "+path, func() bool { _, err := os.Lstat(path); return os.IsNotExist(err) })
	}
}

// sourceOn sends to whoever connects for as long as they read.
func sourceOn(h *netlab.Host, address string) (net.Listener, error) {
	var l net.Listener
	err := h.Do(func() (err error) { l, err = net.Listen("tcp", address); return err })
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for data := make([]byte, 64<<10); err == nil; {
					_, err = conn.Write(data)
				}
			}()
		}
	}()
	return l, nil
}

package netstack

import (
	"errors"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"
)

// Writers that fill the socket's buffer wait for room, and none is forgotten.
func TestUDPWritersAreWoken(t *testing.T) {
	a, b := pair(t)
	server, err := b.ListenUDP(53)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	conn, err := a.DialUDP(netip.AddrPortFrom(right, 53))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			datagram := make([]byte, 1200)
			for range 3_000 {
				if _, err := conn.Write(datagram); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
}

func TestUDPAnswersWhoAsked(t *testing.T) {
	a, b := pair(t)
	server, err := b.ListenUDP(53)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	conn, err := a.DialUDP(netip.AddrPortFrom(right, 53))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	n, from, err := server.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "question" || from.String() != conn.LocalAddr().String() {
		t.Fatalf("%q from %v, %v; want it from %v", buf[:n], from, err, conn.LocalAddr())
	}
	if _, err := server.WriteTo([]byte("answer"), from); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "answer" {
		t.Errorf("%q, %v", buf[:n], err)
	}
}

// A stack that nobody reads from has no room for long.
func TestUDPWriteDeadline(t *testing.T) {
	s, err := New(1280)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.SetAddress(left); err != nil {
		t.Fatal(err)
	}
	conn, err := s.DialUDP(netip.AddrPortFrom(right, 53))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = conn.Write(make([]byte, 1200))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

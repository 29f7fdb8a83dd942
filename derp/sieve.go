package derp

import (
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// stunCookie stands in every message of STUN (RFC 8489, 5).
	stunCookie = "\x21\x12\xa4\x42"

	// sourceRequests is how many requests of one address are answered in a second: of
	// an office of thousands, each asking two ports every 25 s. An answer is twice as
	// long as what asks for it at the most, so that who forges the address of another
	// sends that 50 kB/s by us.
	sourceRequests = 500

	// maxSources bounds the addresses that are counted in a second; strangers beyond
	// those have to ask again.
	maxSources = 1 << 16
)

// sieve is the socket of a STUN port that lets through what may be one's: requests
// of each address at a bounded rate, and what TURN carries.
type sieve struct {
	net.PacketConn
	passed, foreign, tooMany prometheus.Counter
	asked                    *often[netip.Addr]
}

func newSieve(conn net.PacketConn, results *prometheus.CounterVec) *sieve {
	return &sieve{
		PacketConn: conn, asked: newOften[netip.Addr](sourceRequests, maxSources),
		passed: results.WithLabelValues("passed"), foreign: results.WithLabelValues("foreign"), tooMany: results.WithLabelValues("too-many"),
	}
}

// ReadFrom reads the next packet that passes.
func (s *sieve) ReadFrom(buf []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.PacketConn.ReadFrom(buf)
		if err != nil {
			return n, from, err
		}
		switch kindOf(buf[:n]) {
		case kindForeign:
			s.foreign.Inc()
			continue
		case kindRequest:
			if !s.may(from, time.Now()) {
				s.tooMany.Inc()
				continue
			}
		}
		s.passed.Inc()
		return n, from, nil
	}
}

func (s *sieve) may(from net.Addr, now time.Time) bool {
	udp, ok := from.(*net.UDPAddr)
	if !ok {
		return false
	}
	return s.asked.may(udp.AddrPort().Addr().Unmap(), now)
}

type kind int

const (
	kindForeign kind = iota // nothing that a STUN port is sent
	kindRequest             // is answered, whoever it is from
	kindCarried             // goes on for those alone that have asked for it before
)

// kindOf tells what a packet is by its first bytes (RFC 8489, 5 and RFC 8656, 12).
func kindOf(p []byte) kind {
	switch {
	case len(p) >= 4 && p[0]&0xc0 == 0x40: // data of a channel: to 0x4fff here, to 0x7fff in RFC 5766
		return kindCarried
	case len(p) < 20 || p[0]&0xc0 != 0 || string(p[4:8]) != stunCookie:
		return kindForeign
	case p[0]&0x01 == 0 && p[1]&0x10 == 0: // the class is in two bits
		return kindRequest
	case p[0]&0x01 == 0: // an indication
		return kindCarried
	}
	return kindForeign // an answer, which nobody was asked for
}

package netstack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// pingSize is the echo's payload in bytes: a nonce that makes the answer ours.
const pingSize = 16

// Ping sends one ICMPv6 echo request and waits for its answer.
func (s *Stack) Ping(ctx context.Context, to netip.Addr) (time.Duration, error) {
	var wq waiter.Queue
	ep, tcpErr := s.stack.NewEndpoint(icmp.ProtocolNumber6, ipv6.ProtocolNumber, &wq)
	if tcpErr != nil {
		return 0, fmt.Errorf("netstack: ping %v: %v", to, tcpErr)
	}
	defer ep.Close()
	entry, readable := waiter.NewChannelEntry(waiter.EventIn)
	wq.EventRegister(&entry)
	defer wq.EventUnregister(&entry)
	if tcpErr := ep.Connect(tcpip.FullAddress{NIC: nicID, Addr: toTCPIP(to)}); tcpErr != nil {
		return 0, fmt.Errorf("netstack: ping %v: %v", to, tcpErr)
	}

	msg := make([]byte, header.ICMPv6EchoMinimumSize+pingSize)
	header.ICMPv6(msg).SetType(header.ICMPv6EchoRequest)
	binary.BigEndian.PutUint16(msg[6:], 1)
	nonce := msg[header.ICMPv6EchoMinimumSize:]
	rand.Read(nonce)
	start := time.Now()
	if _, tcpErr := ep.Write(bytes.NewReader(msg), tcpip.WriteOptions{}); tcpErr != nil {
		return 0, fmt.Errorf("netstack: ping %v: %v", to, tcpErr)
	}
	for {
		var got bytes.Buffer
		_, tcpErr := ep.Read(&got, tcpip.ReadOptions{})
		switch {
		case tcpErr == nil:
			if bytes.HasSuffix(got.Bytes(), nonce) {
				return time.Since(start), nil
			}
			continue
		case !isWouldBlock(tcpErr):
			return 0, fmt.Errorf("netstack: ping %v: %v", to, tcpErr)
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("netstack: ping %v: no answer: %w", to, context.Cause(ctx))
		case <-s.ctx.Done():
			return 0, fmt.Errorf("netstack: ping %v: %w", to, context.Canceled)
		case <-readable:
		}
	}
}

func isWouldBlock(err tcpip.Error) bool {
	_, ok := err.(*tcpip.ErrWouldBlock)
	return ok
}

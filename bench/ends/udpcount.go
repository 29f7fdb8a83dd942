package main

import (
	"encoding/binary"
	"errors"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// countEvery is how long who counts looks away: its socket has room for more than
	// comes meanwhile, and to be woken up by each datagram would cost the senders, who
	// share its core, half of what they send.
	countEvery = 500 * time.Microsecond

	// countOnce is how many are taken in one call.
	countOnce = 32

	// countersNice puts who counts before whatever else wants its core: the relay is to
	// be what loses datagrams.
	countersNice = -20

	// processors are for more counters than the machine has cores: each keeps one while
	// it is in the kernel.
	processors = 8
)

// counted is a message of which only the length is wanted.
type counted struct {
	head unix.Msghdr
	n    uint32
}

// count counts the datagrams that come, which the kernel may have joined, until the
// socket is closed. They are not copied: who counts is to cost little.
func (u *udpClient) count(arrived *atomic.Int64) {
	runtime.LockOSThread() // until the goroutine ends, and the thread with it
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, countersNice)
	raw, err := u.conn.SyscallConn()
	if err != nil {
		return
	}
	var all [countOnce]counted
	var asides [countOnce][64]byte
	var vec unix.Iovec
	var first byte
	vec.Base = &first
	vec.SetLen(1)
	pause := unix.NsecToTimespec(int64(countEvery))
	_ = raw.Control(func(fd uintptr) { // which fails if it is closed
		for !u.closed.Load() {
			for i := range all {
				h := &all[i].head
				h.Iov, h.Control = &vec, &asides[i][0]
				h.SetIovlen(1)
				h.SetControllen(len(asides[i]))
			}
			n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&all[0])), countOnce, unix.MSG_DONTWAIT|unix.MSG_TRUNC, 0, 0)
			if errno != 0 {
				if !errors.Is(errno, unix.EAGAIN) && !errors.Is(errno, unix.EINTR) {
					return
				}
				_ = unix.Nanosleep(&pause, nil) // or less
				continue
			}
			for i := range all[:n] {
				bytes := int(all[i].n)
				size := joined(asides[i][:all[i].head.Controllen], bytes)
				arrived.Add(int64((bytes + size - 1) / size))
			}
		}
	})
}

// joined is how long each datagram is of those that the kernel has joined to n bytes.
func joined(oob []byte, n int) int {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return max(1, n)
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_UDP && m.Header.Type == unix.UDP_GRO && len(m.Data) >= 2 {
			return max(1, int(binary.NativeEndian.Uint16(m.Data)))
		}
	}
	return max(1, n)
}

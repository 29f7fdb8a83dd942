package netlab

import (
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// DropJoined drops UDP datagrams that the kernel has joined for the network card
// to take apart (UDP_SEGMENT), as drivers do that get them wrong. On links of 1500
// bytes nothing else is as large.
func DropJoined() Fault {
	const mtu = 1500
	return Fault{[][]expr.Any{append(isProtocol(unix.IPPROTO_UDP),
		&expr.Meta{Key: expr.MetaKeyLEN, Register: 1},
		// The length is in the machine's byte order, and bytes are compared in turn.
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
		&expr.Cmp{Op: expr.CmpOpGt, Register: 1, Data: binaryutil.BigEndian.PutUint32(mtu)},
		&expr.Verdict{Kind: expr.VerdictDrop})}}
}

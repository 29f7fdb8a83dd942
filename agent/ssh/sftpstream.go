package ssh

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"slices"
	"sync"
)

const (
	// mostSFTP is the largest packet of SFTP, without its length, that the library
	// takes and OpenSSH sends, in bytes.
	mostSFTP = 256 << 10

	// mostFile is how much of a file one packet carries at most: what is left of it
	// holds the rest of the packet, as OpenSSH has it.
	mostFile = mostSFTP - 1024

	// limits is the extension by which a client of OpenSSH asks for both. Without it,
	// the client moves files by 32 KiB, eight times as many requests.
	limits = "limits@openssh.com"

	lengthLen = 4 // of the length that each packet begins with, and each string

	// Kinds of packets, of draft-ietf-secsh-filexfer-02.
	sftpVersion, sftpExtended, sftpExtendedReply = 2, 200, 201
)

// sftpRequests are a client's as they come, but for those for the limits, which the
// library does not know: these are answered here.
type sftpRequests struct {
	from    *bufio.Reader
	answers *sftpAnswers
	left    int // of the request that is being read
}

func (r *sftpRequests) Read(p []byte) (int, error) {
	for r.left == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n, err := r.from.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}

// next begins with the next request, or answers it.
func (r *sftpRequests) next() error {
	head, err := r.from.Peek(lengthLen)
	if err != nil {
		r.left = len(head) // the library sees for itself that this is no length
		if len(head) > 0 {
			err = nil
		}
		return err
	}
	const asked = uint32(1 + 4 + lengthLen + len(limits))
	size := binary.BigEndian.Uint32(head)
	if size != asked {
		// The library reads no more than a length that is too large.
		r.left = lengthLen + int(min(size, math.MaxInt32-lengthLen))
		return nil
	}
	r.left = lengthLen + int(asked)
	request, err := r.from.Peek(r.left)
	if err != nil || request[lengthLen] != sftpExtended || !bytes.Equal(request[lengthLen+1+4:], appendString(nil, limits)) {
		return nil
	}
	answer := sftpLimits(binary.BigEndian.Uint32(request[lengthLen+1:]))
	r.left = 0
	if _, err := r.from.Discard(lengthLen + int(asked)); err != nil {
		return err
	}
	return r.answers.also(answer)
}

// sftpLimits answers a request for them.
func sftpLimits(id uint32) []byte {
	p := binary.BigEndian.AppendUint32([]byte{sftpExtendedReply}, id)
	for _, most := range []uint64{mostSFTP, mostFile, mostFile, 0} { // packet, read, write, open files
		p = binary.BigEndian.AppendUint64(p, most)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(p))), p...)
}

// sftpAnswers are the server's, each of which the library writes at once. The first of
// them tells of the limits.
type sftpAnswers struct {
	io.WriteCloser

	mu    sync.Mutex // guards what follows, and keeps answers whole
	begun bool       // the first one has left
}

func (a *sftpAnswers) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.begun || len(p) <= lengthLen || p[lengthLen] != sftpVersion {
		return a.WriteCloser.Write(p)
	}
	a.begun = true
	version := appendString(appendString(slices.Clone(p), limits), "1")
	binary.BigEndian.PutUint32(version, uint32(len(version)-lengthLen))
	_, err := a.WriteCloser.Write(version)
	return len(p), err
}

// also writes an answer that is not the library's.
func (a *sftpAnswers) also(p []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err := a.WriteCloser.Write(p)
	return err
}

func appendString(p []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(p, uint32(len(s))), s...)
}

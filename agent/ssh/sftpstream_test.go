package ssh

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sftpPacket is a packet of SFTP with what is in it.
func sftpPacket(kind byte, parts ...any) []byte {
	p := []byte{kind}
	for _, part := range parts {
		switch v := part.(type) {
		case string:
			p = appendString(p, v)
		case int:
			p = binary.BigEndian.AppendUint32(p, uint32(v))
		}
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(p))), p...)
}

// A client that knows the extension is told what a packet holds, and gets as much.
func TestFilesMoveInLargePackets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), 2*mostFile), 0o600); err != nil {
		t.Fatal(err)
	}
	in, requests := io.Pipe()
	answers, out := io.Pipe()
	served := make(chan error, 1)
	go func() { served <- ServeFiles(in, out) }()
	ask := func(request []byte) (answer []byte) {
		t.Helper()
		if _, err := requests.Write(request); err != nil {
			t.Fatal(err)
		}
		var size uint32
		if err := binary.Read(answers, binary.BigEndian, &size); err != nil {
			t.Fatal(err)
		}
		answer = make([]byte, size)
		if _, err := io.ReadFull(answers, answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	const initial, open, read, forReading, headOfData = 1, 3, 5, 1, 1 + 4 + 4
	if got := ask(sftpPacket(initial, 3)); !bytes.HasSuffix(got, appendString(appendString(nil, limits), "1")) {
		t.Errorf("the version is %q", got)
	}
	if got, want := ask(sftpPacket(sftpExtended, 7, limits)), sftpLimits(7)[lengthLen:]; !bytes.Equal(got, want) {
		t.Errorf("the limits are %x, want %x", got, want)
	}
	ask(sftpPacket(open, 8, file, forReading, 0))
	if n := len(ask(sftpPacket(read, 9, "1", 0, 0, 2*mostFile))) - headOfData; n != mostFile {
		t.Errorf("%d bytes were read, want %d", n, mostFile)
	}
	requests.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// FuzzSFTPRequests has the library see all that a client sends but the requests for the
// limits, and the client an answer to each of these.
func FuzzSFTPRequests(f *testing.F) {
	f.Add(bytes.Join([][]byte{sftpPacket(1, 3), sftpPacket(sftpExtended, 7, limits), sftpPacket(17, 8, "a")}, nil), uint8(7))
	f.Add(sftpPacket(sftpExtended, 7, strings.ToUpper(limits)), uint8(1))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1}, uint8(0))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		var want, wantOut []byte
		for rest := in; len(rest) > 0; {
			n := len(rest)
			if len(rest) >= lengthLen {
				n = int(min(uint64(n), lengthLen+uint64(binary.BigEndian.Uint32(rest))))
			}
			p := rest[:n]
			rest = rest[n:]
			if len(p) > 9 && bytes.Equal(p, sftpPacket(sftpExtended, int(binary.BigEndian.Uint32(p[5:])), limits)) {
				wantOut = append(wantOut, sftpLimits(binary.BigEndian.Uint32(p[5:]))...)
			} else {
				want = append(want, p...)
			}
		}
		var got, out bytes.Buffer
		r := &sftpRequests{from: bufio.NewReaderSize(bytes.NewReader(in), readAhead), answers: &sftpAnswers{WriteCloser: nopCloser{&out}}}
		if _, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{r}, make([]byte, 1+int(step))); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) || !bytes.Equal(out.Bytes(), wantOut) {
			t.Errorf("read %q, want %q; answered %q, want %q", &got, want, &out, wantOut)
		}
	})
}

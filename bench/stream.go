package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/bench/role"
)

// streamed is what a TCP measurement moved.
type streamed struct {
	bytes   int64
	seconds float64
}

func (s streamed) gbits() float64 { return float64(s.bytes) * 8 / 1e9 / s.seconds }
func (s streamed) gib() float64   { return float64(s.bytes) / (1 << 30) }

// streams measures TCP: iperf3's over interfaces, our own program's in a stack
// in a process.
func streams(t testing.TB, p *pair, n int) streamed {
	t.Helper()
	if !p.ends[0].kernel {
		got := p.ends[0].traffic.ask(role.Request{Do: "stream", To: p.addr, Streams: n, Lasts: streamLasts})
		return streamed{got.Bytes, got.Seconds}
	}
	return iperf(t, p, n)
}

func iperf(t testing.TB, p *pair, n int) streamed {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), streamLasts+patience)
	defer cancel()
	server := p.ends[1].host.Command(ctx, "iperf3", "--server", "--one-off", "--forceflush")
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.ends[1].host.Start(server); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = server.Wait() // after one client it is done
	}()
	listening := make([]byte, 4<<10)
	for said := ""; !strings.Contains(said, "Server listening"); {
		n, err := out.Read(listening)
		if err != nil {
			t.Fatalf("iperf3 --server: %v: %s", err, said)
		}
		said += string(listening[:n])
	}
	// The kernel's default may be anything; everybody gets the same.
	text, err := p.ends[0].host.Output(ctx, "iperf3", "--client", p.addr, "--json", "--congestion", "cubic",
		"--time", fmt.Sprint(int(streamLasts/time.Second)), "--parallel", fmt.Sprint(n))
	if err != nil {
		t.Fatal(err, text)
	}
	var report struct {
		End struct {
			Received struct {
				Bytes   int64
				Seconds float64
			} `json:"sum_received"`
		}
	}
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		t.Fatal(err)
	}
	if report.End.Received.Bytes == 0 {
		t.Fatalf("iperf3: nothing arrived: %s", text)
	}
	return streamed{report.End.Received.Bytes, report.End.Received.Seconds}
}

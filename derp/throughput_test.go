package derp

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/types/key"
)

// BenchmarkRelayOverTLS is what one relay carries from one client to another,
// in full packets. Its sender writes a batch at a time, as tunnel/path does, and
// never has more under way than a TCP window of two batches would.
func BenchmarkRelayOverTLS(b *testing.B) {
	r, err := Start(Config{Admit: admitAll})
	if err != nil {
		b.Fatal(err)
	}
	web := httptest.NewTLSServer(r.Handler())
	defer web.Close()
	defer r.Close()

	carry(b, web, web, nil, 1)
}

// BenchmarkFromRelayToRelay is what one relay carries to another of its region, for one
// client, or for four at once.
func BenchmarkFromRelayToRelay(b *testing.B) {
	for _, pairs := range []int{1, 4} {
		b.Run(fmt.Sprintf("%d pairs", pairs), func(b *testing.B) {
			one, two := startRegional(b), startRegional(b)
			joined(b, regionKey, one, two)
			carry(b, one.web, two.web, one.Relay, pairs)
		})
	}
}

// carry sends b.N full packets from clients of one server to as many of another, each at a
// batch at a time, once by is told of the receivers, and reports what arrives.
func carry(b *testing.B, near, far *httptest.Server, by *Relay, pairs int) {
	const size, batch = 1280, 45 // 60 KiB
	var arrived atomic.Int64
	var sending sync.WaitGroup
	begin := make(chan struct{})
	for range pairs {
		from, to := key.NewNode(), key.NewNode()
		sender, batched := dialBatched(b, near, from)
		receiver, _ := dialBatched(b, far, to)
		go func() { // ends with the connection
			for {
				m, err := receiver.Recv()
				if err != nil {
					return
				}
				if _, ok := m.(derp.ReceivedPacket); ok {
					arrived.Add(1)
				}
			}
		}()
		for by != nil && !knows(by, to.Public()) {
			time.Sleep(time.Millisecond)
		}
		sending.Go(func() {
			data, dst := make([]byte, size), to.Public()
			<-begin
			for sent := range b.N / pairs {
				if err := sender.Send(dst, data); err != nil {
					b.Error(err)
					return
				}
				if sent%batch == batch-1 {
					if err := batched.Flush(); err != nil {
						b.Error(err)
						return
					}
				}
			}
			if err := batched.Flush(); err != nil {
				b.Error(err)
			}
		})
	}
	b.SetBytes(size)
	b.ResetTimer()
	began := time.Now()
	close(begin)
	sending.Wait()
	took := time.Since(began)
	b.StopTimer()
	for last := int64(-1); arrived.Load() != last; time.Sleep(100 * time.Millisecond) {
		last = arrived.Load()
	}
	sent := b.N / pairs * pairs
	b.ReportMetric(100-float64(arrived.Load())/float64(max(1, sent))*100, "%lost")
	b.ReportMetric(float64(arrived.Load())*size*8/took.Seconds()/1e9, "Gbit/s")
}

// knows reports whether a relay knows of a client of another.
func knows(r *Relay, k key.NodePublic) bool {
	r.board.mu.RLock()
	defer r.board.mu.RUnlock()
	return len(r.board.beyond[k]) > 0
}

// dialBatched connects a client whose frames wait in the writer for its Flush.
func dialBatched(b *testing.B, web *httptest.Server, k key.NodePrivate) (*derp.Client, *bufio.Writer) {
	conn, err := tls.Dial("tcp", web.Listener.Addr().String(), &tls.Config{RootCAs: web.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, web.URL+"/derp", nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header = http.Header{"Upgrade": {"DERP"}, "Connection": {"Upgrade"}}
	if err := req.Write(conn); err != nil {
		b.Fatal(err)
	}
	reader := bufio.NewReaderSize(conn, 64<<10)
	if resp, err := http.ReadResponse(reader, req); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		b.Fatal(resp, err)
	}
	via := &turnout{conn}
	c, err := derp.NewClient(k, conn, bufio.NewReadWriter(reader, bufio.NewWriter(via)), b.Logf)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.Recv(); err != nil { // the relay's greeting
		b.Fatal(err)
	}
	batched := bufio.NewWriterSize(conn, 64<<10)
	via.Writer = batched
	return c, batched
}

// turnout is a writer that leads elsewhere later.
type turnout struct{ io.Writer }

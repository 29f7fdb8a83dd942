package derp

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
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
	const size, batch = 1280, 45
	r, err := Start(Config{Admit: admitAll})
	if err != nil {
		b.Fatal(err)
	}
	web := httptest.NewTLSServer(r.Handler())
	defer web.Close()
	defer r.Close()

	from, to := key.NewNode(), key.NewNode()
	sender, batched := dialBatched(b, web, from)
	receiver, _ := dialBatched(b, web, to)
	var arrived atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
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
	data, dst := make([]byte, size), to.Public()
	b.SetBytes(size)
	b.ResetTimer()
	began := time.Now()
	for sent := range b.N {
		if err := sender.Send(dst, data); err != nil {
			b.Fatal(err)
		}
		if sent%batch == batch-1 {
			if err := batched.Flush(); err != nil {
				b.Fatal(err)
			}
		}
	}
	took := time.Since(began)
	b.StopTimer()
	for last := int64(-1); arrived.Load() != last; time.Sleep(100 * time.Millisecond) {
		last = arrived.Load()
	}
	b.ReportMetric(100-float64(arrived.Load())/float64(b.N)*100, "%lost")
	b.ReportMetric(float64(arrived.Load())*size*8/took.Seconds()/1e9, "Gbit/s")
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

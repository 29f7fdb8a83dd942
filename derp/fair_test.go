package derp

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/types/key"
)

// fairOver is how long throughput is compared for.
const fairOver = 2 * time.Second

// A client that sends as fast as it can is held to its rate, if it has one, and takes
// no more than a tenth from others, who send steadily.
func TestOneClientAtFullBlastHarmsNobody(t *testing.T) {
	t.Run("held to a rate", func(t *testing.T) { fullBlast(t, 10<<20) })
	t.Run("as it can", func(t *testing.T) { fullBlast(t, 0) })
}

// fullBlast gives each client so many bytes a second; zero is no limit.
func fullBlast(t *testing.T, rate uint64) {
	_, at := start(t, Config{Admit: admitAll, ClientRate: rate})
	pair := func() (from, to *derphttp.Client, dst key.NodePublic) {
		k := key.NewNode()
		from, to = client(t, at, key.NewNode()), client(t, at, k)
		connect(t, from)
		connect(t, to)
		return from, to, k.Public()
	}
	received := func(c *derphttp.Client) *atomic.Int64 {
		var bytes atomic.Int64
		go func() { // ends with the client
			for {
				m, err := c.Recv()
				if err != nil {
					return
				}
				if p, ok := m.(derp.ReceivedPacket); ok {
					bytes.Add(int64(len(p.Data)))
				}
			}
		}()
		return &bytes
	}
	var steady atomic.Int64
	var others []*atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var senders sync.WaitGroup
	for range 3 {
		from, to, dst := pair()
		others = append(others, received(to))
		senders.Go(func() {
			tick := time.NewTicker(2 * time.Millisecond) // 500 kB/s
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				steady.Add(1)
				if from.Send(dst, make([]byte, 1000)) != nil {
					return
				}
			}
		})
	}
	share := func() float64 { // of what the others sent, what came
		var before, after int64
		for _, n := range others {
			before += n.Load()
		}
		sent := steady.Load()
		<-time.After(fairOver)
		for _, n := range others {
			after += n.Load()
		}
		return float64(after-before) / 1000 / float64(steady.Load()-sent)
	}
	alone := share()
	from, to, dst := pair()
	blast := received(to)
	senders.Go(func() {
		for ctx.Err() == nil && from.Send(dst, make([]byte, 1280)) == nil {
		}
	})
	blasted := blast.Load()
	beside := share()
	took := float64(blast.Load()-blasted) / fairOver.Seconds()
	cancel()
	from.Close() // it may wait to send
	senders.Wait()
	t.Logf("others had %.3f of what they sent alone, and %.3f beside one that had %.1f MB/s", alone, beside, took/1e6)
	if beside < 0.9*alone {
		t.Error("that is too little")
	}
	if most := float64(rate) * (1 + 1/fairOver.Seconds()/burstOf); rate > 0 && took > 1.1*most {
		t.Errorf("it had %.1f MB/s, want %.1f at most", took/1e6, most/1e6)
	}
}

// Packets that are not delivered are counted by reason.
func TestDropsAreCountedByReason(t *testing.T) {
	r, at := start(t, Config{Admit: admitAll})
	a := client(t, at, key.NewNode())
	connect(t, a)
	const lost = 5
	for i := range lost {
		if err := a.Send(key.NewNode().Public(), fmt.Append(nil, "to nobody ", i)); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(time.Millisecond) {
		got := testutil.ToFloat64(r.board.counts.dropped[droppedUnknown])
		if got == lost {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("counted %v, want %v", got, lost)
		}
	}
}

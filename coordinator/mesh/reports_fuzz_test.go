package mesh

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// What an agent reports is refused, or becomes numbers that can be summed and text
// that can be kept, however often it comes.
func FuzzReport(f *testing.F) {
	for _, r := range []*meshv1.Report{
		{Stats: &meshv1.Stats{Seconds: 60, Cpu: 0.5, RxBytes: 1, Active: true}},
		{Stats: &meshv1.Stats{Seconds: math.Inf(1), Cpu: math.NaN(), TxBytes: math.MaxUint64}},
		{Metadata: []*meshv1.MetadataValue{{Key: "\x00", Value: "\x1b[31m"}}},
	} {
		raw, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		report := new(meshv1.Report)
		if proto.Unmarshal(raw, report) != nil {
			return
		}
		r, agent := newReports(), uuid.New()
		for range 3 {
			if r.came(agent, report, time.Unix(0, 0)) != nil {
				return
			}
		}
		metadata, stats := r.take()
		for _, s := range stats {
			if s.Length < 0 || s.RxBytes < 0 || s.TxBytes < 0 || s.Active < 0 || s.Active > s.Length || math.IsNaN(s.CPU) || math.IsInf(s.CPU, 0) || s.CPU < 0 {
				t.Errorf("%+v", s)
			}
		}
		for _, m := range metadata {
			if strings.ContainsAny(m.Key+m.Value+m.Err, "\x00\x1b") {
				t.Errorf("%+v", m)
			}
		}
	})
}

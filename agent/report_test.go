package agent

import (
	"testing"

	"google.golang.org/protobuf/proto"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

func TestWhatWaitsForASessionIsOneReport(t *testing.T) {
	o := newOutgoing()
	if r := o.take(false); r != nil {
		t.Errorf("at first: %v", r)
	}
	o.measured("load", "1", "")
	o.measured("load", "2", "")
	o.counted(&meshv1.Stats{Seconds: 60, Active: true, Ssh: 2, RxBytes: 5, Cpu: 1, Memory: 9})
	o.counted(&meshv1.Stats{Seconds: 20, Ssh: 1, RxBytes: 7, Cpu: 5, Memory: 8})
	want := &meshv1.Report{
		Metadata: []*meshv1.MetadataValue{{Key: "load", Value: "2"}},
		Stats:    &meshv1.Stats{Seconds: 80, Active: true, Ssh: 2, RxBytes: 12, Cpu: 2, Memory: 8},
	}
	if r := o.take(false); !proto.Equal(r, want) {
		t.Errorf("got %v, want %v", r, want)
	}
	if r := o.take(false); r != nil {
		t.Errorf("told twice: %v", r)
	}
}

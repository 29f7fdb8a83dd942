package mesh

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

func TestOfAnAgentsStateTheLastCounts(t *testing.T) {
	s, agent := newAgentStates(), uuid.New()
	came := func(port uint32) {
		t.Helper()
		if err := s.came(agent, &meshv1.State{Ports: []*meshv1.Port{{Network: "tcp", Port: port, Protocol: "http", Process: "a\x1bb"}}}); err != nil {
			t.Fatal(err)
		}
	}
	came(80)
	first := s.take()
	came(81) // while the database is away
	s.putBack(first)
	second := s.take()
	want := store.AgentPort{Network: "tcp", Port: 81, Protocol: "http", Process: "a b"}
	if len(second) != 1 || len(second[0].Ports) != 1 || second[0].Ports[0] != want {
		t.Errorf("took %+v", second)
	}
	s.putBack(second)
	if again := s.take(); len(again) != 1 || again[0].Ports[0] != want {
		t.Errorf("took %+v", again)
	}
	select {
	case <-s.news:
	default:
		t.Error("nobody is told that something waits")
	}
}

func TestStatesThatNoAgentOfOursTells(t *testing.T) {
	long := strings.Repeat("x", maxMetadataValue+1)
	many := &meshv1.State{}
	for range maxPorts + 1 {
		many.Ports = append(many.Ports, &meshv1.Port{Network: "tcp", Port: 1, Protocol: "tcp"})
	}
	for name, st := range map[string]*meshv1.State{
		"too many":                           many,
		"no port":                            {Ports: []*meshv1.Port{{Network: "tcp", Protocol: "tcp"}}},
		"a large port":                       {Ports: []*meshv1.Port{{Network: "tcp", Port: 65536, Protocol: "tcp"}}},
		"no network":                         {Ports: []*meshv1.Port{{Port: 1, Protocol: "tcp"}}},
		"no protocol":                        {Ports: []*meshv1.Port{{Network: "tcp", Port: 1, Protocol: "gopher"}}},
		"a long name":                        {Ports: []*meshv1.Port{{Network: "tcp", Port: 1, Protocol: "tcp", Process: long}}},
		"a long directory":                   {Directory: long},
		"a long reason":                      {Apps: []*meshv1.App{{Slug: "a", Why: long}}},
		"a range that ends before it begins": {PortSettings: []*meshv1.PortSetting{{First: 2, Last: 1, OnOpen: "open", Visibility: "owner"}}},
		"a port for strangers":               {PortSettings: []*meshv1.PortSetting{{First: 1, Last: 1, OnOpen: "open", Visibility: "public"}}},
		"nothing to do":                      {PortSettings: []*meshv1.PortSetting{{First: 1, Last: 1, Visibility: "owner"}}},
		"a long label":                       {PortSettings: []*meshv1.PortSetting{{First: 1, Last: 1, Label: long, OnOpen: "open", Visibility: "owner"}}},
	} {
		s := newAgentStates()
		if err := s.came(uuid.New(), st); err == nil || len(s.take()) != 0 {
			t.Errorf("%s was taken: %v", name, err)
		}
	}
}

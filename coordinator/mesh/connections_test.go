package mesh

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

func TestConnectionsShowWhatBothEndsSay(t *testing.T) {
	c, at := linked(), time.Unix(1000, 0)
	c.report(2, agentA.id, &meshv1.Verdict{Path: "derp", Reason: "udp-blocked", Evidence: "silence", Fix: "open it", Mtu: 1280, Region: "fra", RttUs: 5000, RxBytes: 7, TxBytes: 8}, at)
	list := c.connections(agentA.id)
	if len(list) != 1 || list[0].ClientName != clientC.name || !list[0].ClientHere || list[0].ByAgent != nil {
		t.Fatalf("%+v, want client c, not yet reported on by the agent", list)
	}
	if want := (View{Path: "derp", MTU: 1280, Region: "fra", RTT: 5 * time.Millisecond, Rx: 7, Tx: 8, Code: "udp-blocked", Evidence: "silence", Fix: "open it", At: at}); *list[0].ByClient != want {
		t.Errorf("the client's view is %+v, want %+v", *list[0].ByClient, want)
	}
	c.report(1, clientC.id, &meshv1.Verdict{Path: "direct"}, at)
	if v := c.connections(agentA.id)[0].ByAgent; v == nil || v.Path != "direct" || v.Code != "" {
		t.Errorf("the agent's view is %+v, want direct", v)
	}
	c.leave(2, false, at)
	if list := c.connections(agentA.id); len(list) != 1 || list[0].ClientHere {
		t.Errorf("%+v, want the lost client", list)
	}
}

func TestVerdictsAreHeardOnlyFromTheEndsOfALink(t *testing.T) {
	c := linked()
	c.join(3, clientD)
	c.report(3, agentA.id, &meshv1.Verdict{Path: "direct"}, time.Unix(1, 0)) // not linked
	c.report(9, agentA.id, &meshv1.Verdict{Path: "direct"}, time.Unix(1, 0)) // no session
	list := c.connections(agentA.id)
	if len(list) != 1 || list[0].ByClient != nil || list[0].ByAgent != nil {
		t.Errorf("%+v, want one link without a report", list)
	}
	if list := c.connections(clientC.id); list != nil {
		t.Errorf("a client has connections: %+v", list)
	}
}

func TestVerdictsAreClippedToText(t *testing.T) {
	c := linked()
	c.report(2, agentA.id, &meshv1.Verdict{Path: strings.Repeat("é", maxVerdictText)}, time.Unix(1, 0))
	if path := c.connections(agentA.id)[0].ByClient.Path; len(path) > maxVerdictText || !utf8.ValidString(path) {
		t.Errorf("kept %d bytes, valid: %t", len(path), utf8.ValidString(path))
	}
	c.report(2, agentA.id, &meshv1.Verdict{Path: "x" + strings.Repeat("é", maxVerdictText)}, time.Unix(1, 0))
	if path := c.connections(agentA.id)[0].ByClient.Path; !utf8.ValidString(path) {
		t.Errorf("kept half a character")
	}
}

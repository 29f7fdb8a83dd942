package mesh

import (
	"encoding/hex"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// The first message of an agent as the version before there was a choice of protocols
// wrote it: protocol 1, two keys, and "0.1.0".
var helloOfBefore = "0a4d" + "0801" + "1220" + strings.Repeat("61", 32) + "1a20" + strings.Repeat("62", 32) + "2a05" + hex.EncodeToString([]byte("0.1.0"))

func TestAProgramOfBeforeIsWelcome(t *testing.T) {
	raw, err := hex.DecodeString(helloOfBefore)
	if err != nil {
		t.Fatal(err)
	}
	up := new(meshv1.Up)
	if err := proto.Unmarshal(raw, up); err != nil {
		t.Fatal(err)
	}
	n := open(t, newVillage(t).dial(t, "user"))
	n.say(up)
	if got := n.until("welcome", func(d *meshv1.Down) bool { return d.GetWelcome() != nil }).GetWelcome().GetProtocol(); got != 1 {
		t.Errorf("it is spoken to in protocol %d", got)
	}
}

func TestAProgramOfLaterSpeaksWhatIsSpokenHere(t *testing.T) {
	n := open(t, newVillage(t).dial(t, "user"))
	up := helloUp('c')
	up.GetHello().Protocol, up.GetHello().OldestProtocol = protocolVersion+5, protocolVersion
	n.say(up)
	if got := n.until("welcome", func(d *meshv1.Down) bool { return d.GetWelcome() != nil }).GetWelcome().GetProtocol(); got != protocolVersion {
		t.Errorf("protocol %d", got)
	}
}

func TestTheNewestThatBothSpeakIsChosen(t *testing.T) {
	for _, c := range []struct {
		theirOldest, theirs, ourOldest, ours uint32
		want                                 uint32
		ok                                   bool
	}{
		{0, 1, 1, 1, 1, true}, {0, 1, 1, 3, 1, true}, {2, 4, 1, 3, 3, true}, {1, 2, 2, 5, 2, true},
		{0, 1, 2, 3, 1, false}, {0, 4, 1, 3, 3, false}, {4, 6, 1, 3, 3, false}, {0, 0, 1, 1, 0, false},
	} {
		if got, ok := negotiate(c.theirOldest, c.theirs, c.ourOldest, c.ours); got != c.want || ok != c.ok {
			t.Errorf("%+v: %d, %t", c, got, ok)
		}
	}
}

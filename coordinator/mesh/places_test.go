package mesh

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// toldRegions is a relay map with what the policy says of regions.
func toldRegions(pinned, excluded string) func(*meshv1.Down) bool {
	return func(d *meshv1.Down) bool {
		m := d.GetRelays()
		return m != nil && len(m.GetRegions()) == 1 && strings.Join(m.GetPinned(), " ") == pinned && strings.Join(m.GetExcluded(), " ") == excluded
	}
}

// Nodes are told where they are to be reached when they join, when the policy changes, and
// when their owner's groups do.
func TestNodesFollowWhereThePolicyPlacesThem(t *testing.T) {
	v := newVillage(t)
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		v.hub.placeNodes(ctx)
	}()
	defer func() {
		end()
		<-ended
	}()
	v.hub.SetRelays(&meshv1.Relays{Regions: []*meshv1.Region{{Id: 900, Code: "eu"}}})
	agent, client := open(t, v.dial(t, "agent")), open(t, v.dial(t, "user"))
	agent.hello('a')
	agent.until("the map, without a policy", toldRegions("", ""))
	client.hello('c')
	client.until("the map, without a policy", toldRegions("", ""))

	const placing = "relays:\n- {people: [alice], regions: [eu]}\n- {people: ['group:web'], workspaces: ['group:web/*'], regions: [-us]}\n- {workspaces: [alice/dev], regions: [asia]}\n"
	v.hub.SetPolicy(onPolicy(t, placing))
	agent.until("a place, by its workspace", toldRegions("asia", ""))
	client.until("a place, by its owner", toldRegions("eu", ""))
	v.mu.Lock()
	v.groups = []string{"web"}
	v.mu.Unlock()
	if err := v.hub.Recheck(t.Context(), Access{Users: map[uuid.UUID]bool{v.user: true}}); err != nil {
		t.Fatal(err)
	}
	agent.until("another, by its owner's group", toldRegions("asia", "us"))
	client.until("another, by its owner's group", toldRegions("eu", "us"))

	later, own := open(t, v.dial(t, "user")), open(t, v.dial(t, "proxy"))
	later.hello('d')
	if first := later.until("the first map", func(d *meshv1.Down) bool { return d.GetRelays() != nil }); !toldRegions("eu", "us")(first) {
		t.Errorf("who joins is told %v", first)
	}
	own.hello('p')
	own.until("the map, of the coordinator's own node", toldRegions("", ""))

	v.hub.SetRelays(&meshv1.Relays{Regions: []*meshv1.Region{{Id: 901, Code: "asia"}}})
	agent.until("another map, and the same place", toldRegions("asia", "us"))
	v.hub.SetPolicy(onPolicy(t, "links: []\n"))
	agent.until("none", toldRegions("", ""))
	client.until("none", toldRegions("", ""))
}

// What changes while a node joins, between the store's answer and its entry, is not missed.
func TestPlacesThatChangeDuringAJoinAreAskedForAgain(t *testing.T) {
	v := newVillage(t)
	v.hub.SetPolicy(onPolicy(t, "relays:\n- {people: ['group:web'], regions: [eu]}\n"))
	joining := true
	v.hub.cfg.Store = meanwhileNamed{v, func() {
		if !joining {
			return
		}
		joining = false
		v.mu.Lock()
		v.groups = []string{"web"}
		v.mu.Unlock()
		if err := v.hub.Recheck(context.Background(), Access{Users: map[uuid.UUID]bool{v.user: true}}); err != nil {
			t.Error(err)
		}
	}}
	n := open(t, v.dial(t, "user"))
	n.hello('n')
	n.until("the map", func(d *meshv1.Down) bool { return d.GetRelays() != nil })
	<-v.hub.unplaced
	if err := v.hub.placeKnown(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.until("the place", func(d *meshv1.Down) bool { return strings.Join(d.GetRelays().GetPinned(), " ") == "eu" })
}

// meanwhileNamed is a store in whose answers on groups something happens, after they are
// made.
type meanwhileNamed struct {
	*village
	happens func()
}

func (m meanwhileNamed) GroupNamesOf(ctx context.Context, id uuid.UUID) ([]string, error) {
	groups, err := m.village.GroupNamesOf(ctx, id)
	m.happens()
	return groups, err
}

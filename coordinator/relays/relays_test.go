package relays

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/aditmesh/adit/coordinator/store"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	relayv1 "github.com/aditmesh/adit/pkg/proto/relayv1"
)

// shelf is a store of some relays.
type shelf struct{ relays []store.Relay }

func (s *shelf) LiveRelay(_ context.Context, id uuid.UUID) (store.Relay, error) {
	for _, r := range s.relays {
		if r.ID == id {
			return r, nil
		}
	}
	return store.Relay{}, store.ErrNotFound
}

func (s *shelf) LiveRelays(context.Context) ([]store.Relay, error) { return s.relays, nil }

func (s *shelf) ConnectRelay(context.Context, uuid.UUID, store.RelayAddress) error { return nil }

func (s *shelf) DisconnectRelay(_ context.Context, id uuid.UUID) error {
	for i := range s.relays {
		if s.relays[i].ID == id {
			s.relays[i].Connected = false
		}
	}
	return nil
}

// world is a registry that runs, and the last map that it published.
type world struct {
	*Registry
	shelf *shelf
	last  *meshv1.Relays
}

func newWorld(t *testing.T, relays ...store.Relay) *world {
	w := &world{shelf: &shelf{relays}}
	w.Registry = New(Config{
		Store: w.shelf, Publish: func(m *meshv1.Relays) { w.last = m },
		Static: &meshv1.Relays{Regions: []*meshv1.Region{{Id: 900, Code: "default", Relays: []*meshv1.Relay{{Name: "embedded"}}}}},
	})
	if err := w.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// published are the relays of the last map, as REGION/NAME.
func (w *world) published() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for _, g := range w.last.GetRegions() {
		for _, r := range g.GetRelays() {
			names = append(names, g.GetCode()+"/"+r.GetName())
		}
	}
	return names
}

func (w *world) shows(t *testing.T, when string, want ...string) {
	t.Helper()
	want = append([]string{"default/embedded"}, want...)
	if got := w.published(); !slices.Equal(got, want) {
		t.Errorf("%s: nodes are told of %v, want %v", when, got, want)
	}
}

// join brings a relay in; the returned member is its session's.
func (w *world) join(t *testing.T, id uuid.UUID, key byte) (*member, *session, *relayv1.Error) {
	t.Helper()
	addr, refusal := address(hello(key))
	if refusal != nil {
		t.Fatal(refusal)
	}
	s := &session{end: make(chan *relayv1.Error, 1), news: make(chan struct{}, 1)}
	m, refusal := w.enter(t.Context(), id, addr, hello(key), s)
	return m, s, refusal
}

func hello(key byte) *relayv1.Hello {
	return &relayv1.Hello{Protocol: protocolVersion, Url: "https://192.0.2.1", StunPorts: []uint32{3478, 3479}, PublicKey: append(make([]byte, 31), key), TurnSecret: "secret"}
}

func fra(connected bool) store.Relay {
	return store.Relay{
		ID: uuid.New(), Name: "fra", Region: store.RelayRegion{ID: 901, Code: "eu", MeshKey: "old"}, Connected: connected,
		RelayAddress: store.RelayAddress{URL: "https://192.0.2.1"},
	}
}

func TestARelayIsInTheMapWhileItIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := fra(false)
		w := newWorld(t, r)
		w.shows(t, "before it came")
		m, _, _ := w.join(t, r.ID, 1)
		w.shows(t, "when it is here", "eu/fra")
		w.exit(t.Context(), m, false)
		time.Sleep(grace - time.Millisecond)
		w.shows(t, "when its stream broke just now", "eu/fra")
		m, _, _ = w.join(t, r.ID, 1)
		time.Sleep(10 * grace)
		w.shows(t, "when it came back in time", "eu/fra")
		w.exit(t.Context(), m, false)
		time.Sleep(grace)
		w.shows(t, "when it did not come back")
		m, _, _ = w.join(t, r.ID, 1)
		w.exit(t.Context(), m, true)
		w.shows(t, "when it has said goodbye")
	})
}

// Relays of a region are told of each other, and of none of another region. When one
// is deleted the others have another key.
func TestRelaysAreToldOfThoseOfTheirRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two, far := fra(false), fra(false), fra(false)
		two.Name, far.Name, far.Region.ID, far.Region.Code = "fra-2", "nrt", 902, "asia"
		w := newWorld(t, one, two, far)
		told := func(m *member) string {
			s := w.siblings(m)
			names := []string{s.GetMeshKey()}
			for _, r := range s.GetRelays() {
				names = append(names, r.GetName())
			}
			return strings.Join(names, " ")
		}
		first, sess, _ := w.join(t, one.ID, 1)
		if got := told(first); got != "old" {
			t.Errorf("the first is told of %q", got)
		}
		<-sess.news // of itself
		w.join(t, far.ID, 2)
		w.join(t, two.ID, 3)
		<-sess.news
		if got := told(first); got != "old fra-2" {
			t.Errorf("with a second it is told of %q", got)
		}
		w.Revoked(store.RevokedRelay{ID: two.ID, Region: two.Region.ID, MeshKey: "new"})
		<-sess.news
		if got := told(first); got != "new" {
			t.Errorf("when that is deleted it is told of %q", got)
		}
	})
}

func TestBrowsersAreServedByRelaysThatAnswerThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := fra(true)
		w := newWorld(t, r)
		if got := w.ICEServers(); len(got) != 0 {
			t.Errorf("without ports there are %+v", got)
		}
		w.join(t, r.ID, 1)
		want := []ICEServer{{Region: "eu", Host: "192.0.2.1", STUNPorts: []uint32{3478, 3479}, TURNSecret: "secret"}}
		if got := w.ICEServers(); !reflect.DeepEqual(got, want) {
			t.Errorf("there are %+v, want %+v", got, want)
		}
	})
}

func TestAfterARestartRelaysAreExpectedBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back, gone := fra(true), fra(true)
		gone.Name = "gone"
		w := newWorld(t, back, gone, fra(false))
		w.shows(t, "at the start", "eu/fra", "eu/gone")
		if _, _, refusal := w.join(t, back.ID, 1); refusal != nil {
			t.Fatal(refusal)
		}
		time.Sleep(graceAtStart)
		w.shows(t, "when one has come", "eu/fra")
		w.Drain()
		time.Sleep(10 * grace)
		if back := w.shelf.relays[0]; !back.Connected {
			t.Error("the next coordinator will not expect a relay that was here when this one ended")
		}
	})
}

func TestATokenIsGoodForOneRelayAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := fra(false)
		w := newWorld(t, r)
		_, first, _ := w.join(t, r.ID, 1)
		if _, _, refusal := w.join(t, r.ID, 2); refusal.GetCode() != relayv1.Error_IN_USE {
			t.Errorf("a second relay was told %v", refusal)
		}
		if _, _, refusal := w.join(t, r.ID, 1); refusal != nil {
			t.Errorf("the same relay, back before its old session was missed: %v", refusal)
		}
		if why := <-first.end; why.GetCode() != relayv1.Error_REPLACED {
			t.Errorf("the old session was told %v", why)
		}
		w.shows(t, "all the while", "eu/fra")
	})
}

func TestADeletedRelayIsGoneAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := fra(false)
		w := newWorld(t, r)
		_, s, _ := w.join(t, r.ID, 1)
		w.Revoked(store.RevokedRelay{ID: r.ID, Region: r.Region.ID, MeshKey: "new"})
		if why := <-s.end; why.GetCode() != relayv1.Error_REVOKED {
			t.Errorf("it was told %v", why)
		}
		w.shows(t, "then")
		// The store may have been asked before.
		if _, _, refusal := w.join(t, r.ID, 1); refusal.GetCode() != relayv1.Error_REVOKED {
			t.Errorf("coming again, it was told %v", refusal)
		}
	})
}

func TestWhatARelaySaysOfItselfIsChecked(t *testing.T) {
	for what, spoil := range map[string]func(*relayv1.Hello){
		"no scheme":        func(h *relayv1.Hello) { h.Url = "192.0.2.1" },
		"another scheme":   func(h *relayv1.Hello) { h.Url = "file:///etc/passwd" },
		"a path":           func(h *relayv1.Hello) { h.Url = "https://192.0.2.1/derp" },
		"credentials":      func(h *relayv1.Hello) { h.Url = "https://a:b@192.0.2.1" },
		"a long URL":       func(h *relayv1.Hello) { h.Url = "https://" + strings.Repeat("a", maxURL) },
		"no key":           func(h *relayv1.Hello) { h.PublicKey = nil },
		"a pin of nothing": func(h *relayv1.Hello) { h.CertName = "sha256-raw:" },
		"many ports":       func(h *relayv1.Hello) { h.StunPorts = make([]uint32, maxSTUNPorts+1) },
		"port 0":           func(h *relayv1.Hello) { h.StunPorts = []uint32{0} },
		"a large port":     func(h *relayv1.Hello) { h.StunPorts = []uint32{70000} },
		"a bell":           func(h *relayv1.Hello) { h.Version = "v1\a" },
		"another protocol": func(h *relayv1.Hello) { h.Protocol = 2 },
	} {
		h := hello(1)
		spoil(h)
		if a, refusal := address(h); refusal == nil {
			t.Errorf("%s: taken as %+v", what, a)
		}
	}
	if _, refusal := address(nil); refusal == nil {
		t.Error("no hello at all was taken")
	}
}

func FuzzHello(f *testing.F) {
	raw, err := proto.Marshal(hello(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		h := new(relayv1.Hello)
		if proto.Unmarshal(raw, h) != nil {
			return
		}
		if a, refusal := address(h); refusal == nil && (len(a.URL) > maxURL || len(a.STUNPorts) > maxSTUNPorts) {
			t.Errorf("taken: %+v", a)
		}
	})
}

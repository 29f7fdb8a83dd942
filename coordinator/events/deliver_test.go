package events

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/seal"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	hookSecret = "s3cret"
	// patience is how long what has to come may take.
	patience = 20 * time.Second
)

// receiver is a webhook's other end. answer says what it answers to a body; what
// it answers 200 to it takes, once for each delivery.
type receiver struct {
	url    string
	answer func(attempt int) int

	mu       sync.Mutex // guards what follows
	attempts int
	ids      []int64 // of what it took, in order
	repeated int
	bad      []error
	grown    chan struct{} // closed and replaced
}

func receive(t *testing.T, answer func(attempt int) int) *receiver {
	t.Helper()
	r := &receiver{answer: answer, grown: make(chan struct{})}
	web := httptest.NewServer(r)
	t.Cleanup(web.Close)
	r.url = web.URL
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	id, idErr := strconv.ParseInt(req.Header.Get(sdk.DeliveryHeader), 10, 64)
	sign := sdk.VerifyWebhook(hookSecret, req.Header.Get(sdk.SignatureHeader), body, time.Now(), time.Minute)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := errors.Join(err, idErr, sign); err != nil {
		r.bad = append(r.bad, err)
	}
	r.attempts++
	status := r.answer(r.attempts)
	if status == http.StatusOK {
		if slices.Contains(r.ids, id) {
			r.repeated++
		} else {
			r.ids = append(r.ids, id)
		}
	}
	close(r.grown)
	r.grown = make(chan struct{})
	w.Header().Set("Location", "/elsewhere")
	w.WriteHeader(status)
}

// took waits until a receiver took so many deliveries.
func (r *receiver) took(t *testing.T, n int) []int64 {
	t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		ids, grown, bad := slices.Clone(r.ids), r.grown, r.bad
		r.mu.Unlock()
		if len(bad) > 0 {
			t.Fatal(bad)
		}
		if len(ids) >= n {
			return ids
		}
		select {
		case <-grown:
		case <-deadline:
			t.Fatalf("took %d of %d", len(ids), n)
		}
	}
}

// hookKeys seal the secrets of all webhooks here.
func hookKeys(t *testing.T) *seal.Keys {
	t.Helper()
	k, err := seal.Parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func hook(t *testing.T, st *store.Store, url string, kinds ...string) store.Webhook {
	t.Helper()
	w := store.Webhook{Name: "h" + uuid.NewString()[:8], URL: url, Kinds: kinds}
	Seal(hookKeys(t), &w, hookSecret)
	w, err := st.CreateWebhook(t.Context(), w, uuid.Nil)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// delivering runs a deliverer until stop, or the end of the test.
func delivering(t *testing.T, cfg DelivererConfig) (stop func()) {
	t.Helper()
	cfg.AllowPrivate, cfg.FirstWait, cfg.Keys = true, time.Millisecond, hookKeys(t)
	d := NewDeliverer(cfg)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var run sync.WaitGroup
	run.Go(func() { d.Run(ctx) })
	stop = func() { cancel(); run.Wait() }
	t.Cleanup(stop)
	return stop
}

// tokens makes n events.
func tokens(t *testing.T, st *store.Store, owner store.User, n int) {
	t.Helper()
	for range n {
		if _, err := st.CreateToken(t.Context(), store.NewToken{UserID: owner.ID, Name: "t", SecretHash: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
}

func deliveries(t *testing.T, st *store.Store, w store.Webhook, status string) []store.Delivery {
	t.Helper()
	list, err := st.Deliveries(t.Context(), w.ID, status, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// A receiver that fails now and then, and a coordinator that is restarted in the
// middle: each event arrives, in order, signed.
func TestAWebhookGetsEveryEventInOrder(t *testing.T) {
	st, owner := open(t)
	r := receive(t, func(attempt int) int { return []int{200, 500, 200, 302}[attempt%4] })
	w := hook(t, st, r.url, store.EventToken)
	bus := running(t, st, kept)
	stop := delivering(t, DelivererConfig{Store: st, Bus: bus})
	const n = 30
	tokens(t, st, owner, n/2)
	if _, err := st.CreateWorkspace(t.Context(), external(owner, "unwanted")); err != nil {
		t.Fatal(err)
	}
	r.took(t, n/3)
	stop()
	tokens(t, st, owner, n-n/2)
	delivering(t, DelivererConfig{Store: st, Bus: bus})
	ids := r.took(t, n)
	if len(ids) != n || !slices.IsSorted(ids) {
		t.Errorf("%d deliveries of %d, in the order %v", len(ids), n, ids)
	}
	done := deliveries(t, st, w, "")
	slices.Reverse(done)
	for i, d := range done {
		if d.Event != "token.created" || i > 0 && d.Version <= done[i-1].Version {
			t.Errorf("delivery %d is %+v", i, d)
		}
	}
}

func TestADeliveryThatFailsTooOftenIsDeadAndCanBeMadeAgain(t *testing.T) {
	st, owner := open(t)
	r := receive(t, func(attempt int) int {
		if attempt <= maxTries {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	w := hook(t, st, r.url, store.EventToken)
	delivering(t, DelivererConfig{Store: st, Bus: running(t, st, kept)})
	tokens(t, st, owner, 2)
	ids := r.took(t, 1) // the second
	dead := deliveries(t, st, w, store.DeliveryDead)
	if len(dead) != 1 || dead[0].Attempts != maxTries || dead[0].Answer != 500 || dead[0].ID >= ids[0] {
		t.Fatalf("dead: %+v", dead)
	}
	if _, err := st.Redeliver(t.Context(), uuid.New(), dead[0].ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("another webhook's: %v", err)
	}
	again, err := st.Redeliver(t.Context(), w.ID, dead[0].ID)
	if err != nil || string(again.Payload) != string(dead[0].Payload) {
		t.Fatalf("%+v, %v", again, err)
	}
	if ids := r.took(t, 2); ids[1] != again.ID {
		t.Errorf("took %v, want %d at last", ids, again.ID)
	}
}

// Of a webhook that is new, and of what is to be delivered again, whoever delivers
// is told, and does not wait until it looks.
func TestANewWebhookAndARedeliveryGoOutAtOnce(t *testing.T) {
	st, owner := open(t)
	bus := running(t, st, kept)
	delivering(t, DelivererConfig{Store: st, Bus: bus})
	first := receive(t, func(int) int { return http.StatusOK })
	hook(t, st, first.url, store.EventToken)
	tokens(t, st, owner, 1)
	first.took(t, 1) // it runs, and has looked

	began := time.Now()
	r := receive(t, func(int) int { return http.StatusOK })
	w := hook(t, st, r.url, store.EventToken)
	tokens(t, st, owner, 1)
	ids := r.took(t, 1)
	if _, err := st.Redeliver(t.Context(), w.ID, ids[0]); err != nil {
		t.Fatal(err)
	}
	r.took(t, 2)
	if took := time.Since(began); took > leaseEvery/2 {
		t.Errorf("both took %v: somebody had to look", took)
	}
}

func TestWhatTheGuardRefusesIsNoAttempt(t *testing.T) {
	st, owner := open(t)
	r := receive(t, func(int) int { return http.StatusOK })
	w := hook(t, st, r.url, store.EventToken)
	asked := make(chan string, 1)
	delivering(t, DelivererConfig{Store: st, Bus: running(t, st, kept), Guard: func(host string, _ func() error) error {
		select {
		case asked <- host:
		default:
		}
		return errors.New("open")
	}})
	tokens(t, st, owner, 1)
	select {
	case host := <-asked:
		if "http://"+host != r.url {
			t.Errorf("asked for %s, want %s", host, r.url)
		}
	case <-time.After(patience):
		t.Fatal("the guard was not asked")
	}
	if got := deliveries(t, st, w, store.DeliveryPending); len(got) != 1 || got[0].Attempts != 0 {
		t.Errorf("%+v", got)
	}
}

func TestOneCoordinatorDeliversToAWebhook(t *testing.T) {
	st, owner := open(t)
	r := receive(t, func(int) int { return http.StatusOK })
	hook(t, st, r.url, store.EventToken)
	bus := running(t, st, kept)
	for range 3 {
		delivering(t, DelivererConfig{Store: st, Bus: bus})
	}
	tokens(t, st, owner, 50)
	r.took(t, 50)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.repeated > 0 {
		t.Errorf("%d deliveries came twice", r.repeated)
	}
}

func TestWebhooksGoNowhereButTheInternet(t *testing.T) {
	for text, want := range map[string]bool{
		"1.1.1.1": true, "2606:4700::1111": true,
		"127.0.0.1": false, "::1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"100.64.0.1": false, "0.0.0.0": false, "0.1.2.3": false, "255.255.255.255": false, "224.0.0.1": false, "fe80::1": false,
		"fdad:17:ad17::1": false, "::": false, "::ffff:127.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "ff02::1": false,
	} {
		if got := Public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: public is %v", text, got)
		}
	}
	for _, bad := range []string{"", "ftp://example.com", "https://", "//example.com", "https://a:b@example.com", "https://127.0.0.1/", "http://[::1]:80/x", "https://e.com/#x"} {
		if err := CheckURL(bad, false); !errors.Is(err, ErrURL) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, good := range []string{"https://example.com/x?y=z", "http://1.1.1.1:8080/"} {
		if err := CheckURL(good, false); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	// A name says nothing of where it leads: that is seen when it is resolved.
	r := receive(t, func(int) int { return http.StatusOK })
	u, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	client := newClient(false)
	defer client.CloseIdleConnections()
	if resp, err := client.Post("http://localhost:"+u.Port(), "", nil); !errors.Is(err, ErrURL) {
		t.Errorf("localhost: %v, %v", resp, err)
	}
	if r.attempts != 0 {
		t.Error("it was reached")
	}
}

func TestSecretsAreSealedAndSignAllTheSame(t *testing.T) {
	st, owner := open(t)
	r := receive(t, func(int) int { return http.StatusOK })
	w := hook(t, st, r.url, store.EventToken)
	old, err := st.CreateWebhook(t.Context(), store.Webhook{
		ID: uuid.New(), Name: "old", URL: r.url, Kinds: []string{store.EventToken}, Secret: []byte(hookSecret), // from before they were sealed
	}, uuid.Nil)
	if err != nil {
		t.Fatal(err)
	}
	sealed := func(by *seal.Keys) {
		t.Helper()
		list, err := st.Webhooks(t.Context(), store.Page{Max: 9})
		if err != nil || len(list) != 2 {
			t.Fatalf("%d webhooks, %v", len(list), err)
		}
		for _, w := range list {
			if text, err := openSecret(by, w); bytes.Contains(w.Secret, []byte(hookSecret)) || w.KeyID != by.Current() || text != hookSecret || err != nil {
				t.Errorf("%s is kept as %q with key %q, and opens as %q, %v", w.Name, w.Secret, w.KeyID, text, err)
			}
		}
	}
	if n, err := Reseal(t.Context(), st, hookKeys(t)); n != 1 || err != nil {
		t.Errorf("sealed %d, %v, want the one from before", n, err)
	}
	sealed(hookKeys(t))
	// Each is good for its own webhook alone.
	w.Secret, w.ID = append([]byte(nil), w.Secret...), old.ID
	if _, err := openSecret(hookKeys(t), w); err == nil {
		t.Error("a secret opens as another webhook's")
	}
	tokens(t, st, owner, 1)
	stop := delivering(t, DelivererConfig{Store: st, Bus: running(t, st, kept)})
	r.took(t, 2) // which it does not if they are not signed with the secret
	stop()

	// After a rotation the new key alone is enough.
	text := seal.NewKey()
	both, err := seal.Parse(text + "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := Reseal(t.Context(), st, both); n != 2 || err != nil {
		t.Errorf("sealed anew %d, %v, want both", n, err)
	}
	alone, err := seal.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	sealed(alone)
	// Without it nothing is posted, nor given up.
	if _, err := Reseal(t.Context(), st, hookKeys(t)); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("sealed anew without the key: %v", err)
	}
}

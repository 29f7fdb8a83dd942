package breaker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errDown = errors.New("connection refused")

func fails(context.Context) error { return errDown }
func works(context.Context) error { return nil }

func TestATargetThatFailsIsLeftAloneAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(nil)
		b := r.Breaker(Relay, "relay.example:443")
		for range failuresInRow {
			if err := b.Do(t.Context(), fails); !errors.Is(err, errDown) || errors.Is(err, ErrOpen) {
				t.Fatalf("a call says %v, want what went wrong", err)
			}
		}
		never := func(context.Context) error { t.Error("an open breaker let a call through"); return nil }
		if err := b.Do(t.Context(), never); !errors.Is(err, ErrOpen) || !strings.Contains(err.Error(), errDown.Error()) {
			t.Errorf("open: %v, want ErrOpen and the last error", err)
		}
		if s := r.States(); len(s) != 1 || s[0].State != "open" || s[0].Target != "relay.example:443" || s[0].LastError != errDown.Error() {
			t.Errorf("states %+v", s)
		}
		if err := r.Breaker(Relay, "other.example:443").Do(t.Context(), works); err != nil {
			t.Errorf("another target: %v", err)
		}

		// One call on trial; while it is under way the others wait outside.
		time.Sleep(openFor + time.Second)
		err := b.Do(t.Context(), func(ctx context.Context) error {
			if err := b.Do(ctx, never); !errors.Is(err, ErrOpen) {
				t.Errorf("beside the call on trial: %v", err)
			}
			return errDown
		})
		if !errors.Is(err, errDown) {
			t.Errorf("on trial: %v", err)
		}
		if err := b.Do(t.Context(), never); !errors.Is(err, ErrOpen) {
			t.Errorf("after a failed trial: %v", err)
		}
		time.Sleep(openFor + time.Second)
		for range 3 {
			if err := b.Do(t.Context(), works); err != nil {
				t.Errorf("back again: %v", err)
			}
		}
		if s := r.States(); len(s) != 0 {
			t.Errorf("states %+v, want none", s)
		}
		for _, total := range r.Totals() {
			if want := (Total{Relay, 4, failuresInRow + 1, 3, 2}); total.Kind == Relay && total != want {
				t.Errorf("totals %+v, want %+v", total, want)
			}
		}
	})
}

func TestATargetThatFailsMostlyIsLeftAloneToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewRegistry(nil).Breaker(SignIn, "idp.example")
		var err error
		for n := 0; n < 2*enoughCalls && !errors.Is(err, ErrOpen); n++ {
			call := fails
			if n%4 == 3 {
				call = works
			}
			err = b.Do(t.Context(), call)
			time.Sleep(time.Second)
		}
		if !errors.Is(err, ErrOpen) {
			t.Errorf("three of four failed, and it is still asked: %v", err)
		}
	})
}

func TestCallersWhoGiveUpSayNothingAndHangingDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewRegistry(nil).Breaker(Webhook, "hook.example")
		hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		for range 2 * failuresInRow {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := b.Do(ctx, hangs); !errors.Is(err, context.Canceled) {
				t.Fatalf("given up: %v", err)
			}
		}
		for range failuresInRow {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := b.Do(ctx, hangs); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("hangs: %v", err)
			}
			cancel()
		}
		if err := b.Do(t.Context(), works); !errors.Is(err, ErrOpen) {
			t.Errorf("after calls that hung: %v", err)
		}
	})
}

func TestTargetsAreBounded(t *testing.T) {
	r := NewRegistry(nil)
	for n := range 2 * maxTargets {
		r.Breaker(Webhook, fmt.Sprint("host", n))
	}
	for _, total := range r.Totals() {
		if total.Kind == Webhook && total.Targets != maxTargets {
			t.Errorf("%d targets, want %d", total.Targets, maxTargets)
		}
	}
}

func TestTransportCountsServerErrorsAndReturnsThem(t *testing.T) {
	status := http.StatusNotFound
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer web.Close()
	r := NewRegistry(nil)
	c := http.Client{Transport: r.Transport(Webhook, http.DefaultTransport)}
	ask := func() (int, error) {
		resp, err := c.Post(web.URL, "text/plain", strings.NewReader("x"))
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	for range 2 * failuresInRow {
		if got, err := ask(); got != status || err != nil {
			t.Fatalf("%d, %v, want %d: not found is an answer", got, err, status)
		}
	}
	status = http.StatusBadGateway
	for range failuresInRow {
		if got, err := ask(); got != status || err != nil {
			t.Fatalf("%d, %v, want %d", got, err, status)
		}
	}
	if _, err := ask(); !errors.Is(err, ErrOpen) {
		t.Errorf("after server errors: %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	r := NewRegistry(nil)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for i := range 500 {
				call := works
				if (i+n)%3 == 0 {
					call = fails
				}
				_ = r.Breaker(Relay, fmt.Sprint("host", i%7)).Do(t.Context(), call)
				r.States()
			}
		})
	}
	all.Wait()
	for _, total := range r.Totals() {
		if total.Kind == Relay && total.OK+total.Failed+total.Refused != 8*500 {
			t.Errorf("%+v, want every call counted once", total)
		}
	}
}

package loadtest

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

func TestQuantileIsTheLeastThatSoManyAreAtMostAsLongAs(t *testing.T) {
	var hundred []time.Duration
	for i := 100; i > 0; i-- {
		hundred = append(hundred, time.Duration(i)*time.Millisecond)
	}
	for _, c := range []struct {
		times []time.Duration
		want  Spread
	}{
		{nil, Spread{}},
		{[]time.Duration{time.Second}, Spread{Count: 1, P50: 1000, P95: 1000, P99: 1000, Max: 1000}},
		{[]time.Duration{3 * time.Millisecond, time.Millisecond}, Spread{Count: 2, P50: 1, P95: 3, P99: 3, Max: 3}},
		{hundred, Spread{Count: 100, P50: 50, P95: 95, P99: 99, Max: 100}},
	} {
		if got := spreadOf(c.times); got != c.want {
			t.Errorf("of %d times: %+v, want %+v", len(c.times), got, c.want)
		}
	}
}

func TestStampTravelsAsAnEndpoint(t *testing.T) {
	for _, want := range []stamp{{0, 1}, {10_000, 77}, {1 << 20, 1 << 30}} {
		got, ok := readStamp([]string{"192.0.2.1:41641", want.String()})
		if !ok || got != want {
			t.Errorf("%v came back as %v, %v", want, got, ok)
		}
	}
	for _, e := range []string{"", "192.0.2.1:41641", "[2001:db8:1::1]:1", "stamp"} {
		if got, ok := readStamp([]string{e}); ok {
			t.Errorf("%q is read as %v", e, got)
		}
	}
}

func TestErrorsOfManyKindsAreBounded(t *testing.T) {
	var errs tally
	for i := range 10 * maxKinds {
		errs.add(fmt.Errorf("port %d", i))
	}
	errs.add(errors.New("port 0"))
	counts := errs.counts()
	if len(counts) != maxKinds+1 || counts["port 0"] != 2 || counts["other"] != 9*maxKinds {
		t.Errorf("%d kinds, %v", len(counts), counts)
	}
}

func TestOperationsAreAHundred(t *testing.T) {
	sum := 0
	for _, op := range operations() {
		sum += op.weight
	}
	if sum != 100 {
		t.Errorf("the weights add up to %d, want 100", sum)
	}
}

func TestEndpointsThatWereOvertakenAreCounted(t *testing.T) {
	c := &churn{times: make(map[string][]time.Duration)}
	began := time.Now()
	w := &walker{c: c}
	c.walkers = []*walker{w}
	for i := range 4 {
		w.events = append(w.events, event{moved, began.Add(time.Duration(i) * time.Millisecond)})
	}
	v := &view{since: began.Add(-time.Second)}
	for _, n := range []int{1, 4, 2, 4} { // the second 4 and the late 2 are nothing new
		c.saw(v, stamp{0, n}, began.Add(10*time.Millisecond))
	}
	if c.overtaken != 2 || v.seen != 4 || len(c.times[moved]) != 2 {
		t.Errorf("%d overtaken, %d seen, %v", c.overtaken, v.seen, c.times)
	}
	if c.times[moved][1] != 7*time.Millisecond {
		t.Errorf("the fourth took %v, want 7ms", c.times[moved][1])
	}
}

func TestOnlyOwnersMay(t *testing.T) {
	role := "member"
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/api/v1/users/me" {
			t.Errorf("%s %s was asked for", r.Method, r.URL.Path)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"username":"alice","role":%q}`, role)
	}))
	defer web.Close()
	u, err := url.Parse(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := sdk.New(u, "token")
	if err := Allowed(t.Context(), c); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("a member: %v, want ErrNotAllowed", err)
	}
	role = "owner"
	if err := Allowed(t.Context(), c); err != nil {
		t.Errorf("an owner: %v", err)
	}
}

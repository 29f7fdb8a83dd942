package main

import (
	"errors"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// A certificate that is renewed in place is served without a restart, and is what health
// looks at.
func TestTheServerServesARenewedCertificate(t *testing.T) {
	cert, key, _ := certificate(t)
	nextCert, nextKey, _ := certificate(t)
	synctest.Test(t, func(t *testing.T) {
		pair, err := serverFlags{tlsCert: cert, tlsKey: key}.certificate(slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		conf := webTLS(pair)
		first := pair.Leaf()
		if err := errors.Join(os.Rename(nextCert, cert), os.Rename(nextKey, key)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // the bubble's
		served, err := conf.GetCertificate(nil)
		if err != nil || served.Leaf.Equal(first) || !served.Leaf.Equal(pair.Leaf()) {
			t.Errorf("the first is served on: %v", err)
		}
	})
}

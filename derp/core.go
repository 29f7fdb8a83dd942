package derp

import (
	"errors"
	"expvar"
	"fmt"
	"net/http"

	"tailscale.com/derp/derpserver"
)

// core is the library's server and what serves it. It knows the relays of its region
// by a key that it cannot change, so another key takes another core.
type core struct {
	server  *derpserver.Server
	handler http.Handler
}

// errClosed is that the relay has ended.
var errClosed = errors.New("the relay is closed")

// newCore makes a core, with the key of the region's relays if there is one.
func (r *Relay) newCore(meshKey string) (*core, error) {
	s := derpserver.New(r.priv, func(format string, args ...any) {
		r.log.Debug("derp: " + fmt.Sprintf(format, args...))
	})
	if meshKey != "" {
		if err := s.SetMeshKey(meshKey); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	s.SetVerifyClientURL(r.gateURL)
	s.UpdateRateLimits(derpserver.RateConfig{PerClientRateLimitBytesPerSec: r.clientRate, PerClientRateBurstBytes: r.clientRate / burstOf})
	return &core{server: s, handler: r.survive(gather(derpserver.AddWebSocketSupport(s, derpserver.Handler(s))))}, nil
}

// rekey gives the relay another key of its region. Its clients are disconnected, and
// come back at once.
func (r *Relay) rekey(meshKey string) error {
	next, err := r.newCore(meshKey)
	if err != nil {
		return err
	}
	r.coreMu.Lock()
	if r.closed {
		r.coreMu.Unlock()
		return errors.Join(errClosed, next.server.Close())
	}
	old := r.core.Swap(next)
	r.coreMu.Unlock()
	err = old.server.Close()
	if r.passes != nil {
		err = errors.Join(err, r.passes.join(next.server))
	}
	return err
}

// closeCore ends the present core, and has rekey make no other.
func (r *Relay) closeCore() error {
	r.coreMu.Lock()
	defer r.coreMu.Unlock()
	r.closed = true
	if c := r.core.Load(); c != nil {
		return c.server.Close()
	}
	return nil
}

// publicKey is the relay's own.
func (r *Relay) publicKey() []byte { return r.priv.Public().AppendTo(nil) }

// vars are the library's counts.
func (r *Relay) vars() interface{ Get(string) expvar.Var } {
	v, ok := r.core.Load().server.ExpVar(false).(interface{ Get(string) expvar.Var })
	if !ok {
		return new(expvar.Map)
	}
	return v
}

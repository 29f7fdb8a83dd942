package health

import (
	"context"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

const (
	// EchoPath is where Echo is to be found.
	EchoPath = "/api/v1/health/echo"

	// maxEcho bounds the word in bytes, echoTimeout the visit, and maxEchoes how
	// many may be under way: anybody may ask, and nobody needs more.
	maxEcho     = 64
	echoTimeout = 5 * time.Second
	maxEchoes   = 16
)

// Echo answers one word over a WebSocket, to anybody: it shows whether proxies
// in between let WebSockets through.
func Echo() http.Handler {
	slots := make(chan struct{}, maxEchoes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			http.Error(w, "too many at once; try again in a moment", http.StatusServiceUnavailable)
			return
		}
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
		if err != nil {
			return // Accept has answered
		}
		defer ws.CloseNow()
		ws.SetReadLimit(maxEcho)
		ctx, cancel := context.WithTimeout(r.Context(), echoTimeout)
		defer cancel()
		kind, word, err := ws.Read(ctx)
		if err == nil {
			_ = ws.Write(ctx, kind, word) // the visitor is gone if this fails
		}
	})
}

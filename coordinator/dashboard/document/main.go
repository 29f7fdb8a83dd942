// Command document writes the OpenAPI document of the coordinator's API to its
// standard output. The dashboard's types are made from it.
package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/aditmesh/adit/coordinator/api"
)

func main() {
	answer := httptest.NewRecorder()
	a := api.New(api.Config{Logger: slog.New(slog.DiscardHandler)}) // the document is the same with nothing behind it
	a.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/api/openapi.json", nil))
	if answer.Code != http.StatusOK {
		fmt.Fprintln(os.Stderr, "document: the API answers", answer.Code)
		os.Exit(1)
	}
	if _, err := answer.Body.WriteTo(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "document:", err)
		os.Exit(1)
	}
}

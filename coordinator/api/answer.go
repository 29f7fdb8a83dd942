package api

import (
	"bytes"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// outer is a context of the library by another name than that of its method.
type outer = huma.Context

// answer is a context of the library that keeps what an operation answers until
// it is sent.
type answer struct {
	outer
	request io.Reader // nil for the request's own body
	status  int
	header  http.Header
	body    bytes.Buffer
}

func newAnswer(ctx huma.Context) *answer {
	return &answer{outer: ctx, status: http.StatusOK, header: make(http.Header)}
}

func (a *answer) SetStatus(code int)              { a.status = code }
func (a *answer) Status() int                     { return a.status }
func (a *answer) SetHeader(name, value string)    { a.header.Set(name, value) }
func (a *answer) AppendHeader(name, value string) { a.header.Add(name, value) }
func (a *answer) BodyWriter() io.Writer           { return &a.body }

func (a *answer) BodyReader() io.Reader {
	if a.request != nil {
		return a.request
	}
	return a.outer.BodyReader()
}

// send sends what was kept.
func (a *answer) send() {
	for name, values := range a.header {
		for _, v := range values {
			a.outer.AppendHeader(name, v)
		}
	}
	a.outer.SetStatus(a.status)
	if a.body.Len() > 0 {
		// The connection is gone if this fails.
		_, _ = a.outer.BodyWriter().Write(a.body.Bytes())
	}
}

package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/pkg/sdk"
)

// media is what operations have as metadata whose answers are no JSON: their type.
const media = "media"

const ndjson = "application/x-ndjson"

// tagOf says which chapter of the documentation an operation belongs to, by what
// follows /api/v1 in its path; others are named by that itself.
var tagOf = map[string]string{
	"buildinfo": "deployment", "login": "sign-in", "logout": "sign-in", "provisioner-keys": "provisioners", "quota": "quotas",
	"shared-workspaces": "workspaces", "template-webhooks": "templates",
}

// describeAll completes the document with what follows from rules, so that an
// operation that is added has it too: chapters, which errors there may be, headers
// that several operations share, and examples.
func describeAll(doc *huma.OpenAPI) {
	doc.Info.Description = "Everything that the command line and the dashboard do. " +
		"Sign in with POST /api/v1/login, or make a token, and send it as a bearer token. " +
		"Errors are RFC 9457 problems, whose code stays as it is. " +
		"Lists come in pages: ask with next_cursor for what follows. " +
		"What makes something takes an Idempotency-Key; what changes something that was read before takes its ETag as If-Match."
	doc.Info.License = nil
	doc.Servers = []*huma.Server{{URL: "/", Description: "This coordinator"}}
	schemes := doc.Components.SecuritySchemes
	schemes[userScheme].Description = "An API token of a person: adit_…"
	schemes[agentScheme].Description = "The token of a workspace's agent: adit_agent_…"
	schemes[clientScheme].Description = "A token of a workspace's programs, which their agent hands out: adit_client_…"
	problems := doc.Components.Schemas.Schema(typeOf[sdk.Error](), true, "Error")
	delete(doc.Components.Schemas.Map(), "ErrorModel")
	delete(doc.Components.Schemas.Map(), "ErrorDetail")
	e := exampler{doc.Components.Schemas.Map()}
	var tags []string
	for path, item := range doc.Paths {
		for _, op := range operations(item) {
			describeOne(op, path, problems, e)
			for _, t := range op.Tags {
				if !slices.Contains(tags, t) {
					tags = append(tags, t)
				}
			}
		}
	}
	slices.Sort(tags)
	for _, t := range tags {
		doc.Tags = append(doc.Tags, &huma.Tag{Name: t})
	}
}

func describeOne(op *huma.Operation, path string, problems *huma.Schema, e exampler) {
	if len(op.Tags) == 0 {
		noun, _, _ := strings.Cut(strings.TrimPrefix(path, "/api/v1/"), "/")
		if t, ok := tagOf[noun]; ok {
			noun = t
		}
		if strings.HasPrefix(path, "/api/v1/organizations/{organization}/groups/") {
			noun = "groups"
		}
		op.Tags = []string{noun}
	}
	if makes(op) {
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: idempotencyKey, In: "header", Example: "6a2f41a3-c54c-fce8-32d2-0324e1c32e22",
			Description: "Any text that is new for each thing to make: whoever asks again with it, for a day, gets the same answer, and nothing is made twice",
			Schema:      &huma.Schema{Type: "string", MinLength: new(1), MaxLength: new(maxKey)},
		})
	}
	for _, p := range op.Parameters {
		if p.Example == nil {
			p.Example = e.of(p.Schema, p.Name)
		}
		if p.Description == "" {
			p.Description = parameterDocs[p.Name]
		}
	}
	if op.RequestBody != nil {
		for _, m := range op.RequestBody.Content {
			m.Example = e.of(m.Schema, "")
		}
	}
	good := op.Responses[strconv.Itoa(op.DefaultStatus)]
	if t, ok := op.Metadata[media].(string); ok {
		m := &huma.MediaType{Schema: &huma.Schema{Type: "string"}, Example: "…"}
		if t == ndjson {
			m.Example = `{"line":{"seq":1,"at":"2026-01-02T03:04:05Z","stage":"plan","level":"info","text":"hello"}}` + "\n"
		}
		good.Content = map[string]*huma.MediaType{t: m}
	}
	for _, m := range good.Content {
		if m.Example == nil {
			m.Example = e.of(m.Schema, "")
		}
	}
	if op.Method == http.MethodGet && op.Metadata[endless] == nil {
		if good.Headers == nil {
			good.Headers = make(map[string]*huma.Header)
		}
		good.Headers["ETag"] = &huma.Header{Schema: &huma.Schema{Type: "string"}, Description: "Stands for what is answered; for If-None-Match and If-Match"}
		op.Responses["304"] = &huma.Response{Description: "It is what If-None-Match names: nothing new"}
	}
	delete(op.Responses, "default")
	for _, status := range failures(op) {
		p := plain(status, "what is in the way, in a sentence")
		op.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status),
			Content:     map[string]*huma.MediaType{problemJSON: {Schema: problems, Example: p}},
		}
		if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
			op.Responses[strconv.Itoa(status)].Headers = map[string]*huma.Header{
				"Retry-After": {Schema: &huma.Schema{Type: "integer", Minimum: new(1.0)}, Description: "Seconds to wait before asking again"},
			}
		}
	}
}

// failures are the errors that an operation may answer with.
func failures(op *huma.Operation) []int {
	list := []int{http.StatusInternalServerError, http.StatusServiceUnavailable}
	if len(op.Security) > 0 {
		list = append(list, http.StatusUnauthorized)
		if op.Method != http.MethodGet {
			list = append(list, http.StatusConflict)
		}
	} else if op.Method == http.MethodPost {
		list = append(list, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusConflict)
	}
	if needs(op, userScheme) {
		list = append(list, http.StatusForbidden)
	}
	if strings.Contains(op.Path, "{") || len(op.Security) > 0 {
		list = append(list, http.StatusNotFound)
	}
	if op.RequestBody != nil {
		list = append(list, http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if op.RequestBody != nil || len(op.Parameters) > 0 {
		list = append(list, http.StatusUnprocessableEntity)
	}
	if op.Method != http.MethodGet {
		list = append(list, http.StatusPreconditionFailed)
	}
	if _, ok := op.Responses[strconv.Itoa(op.DefaultStatus)].Content["text/event-stream"]; ok {
		list = append(list, http.StatusGone)
	}
	return append(append(list, op.Errors...), http.StatusTooManyRequests)
}

// parameterDocs says what those parameters are that many operations share.
var parameterDocs = map[string]string{
	"owner": "User name of the owner; me is the caller", "name": "Its name", "number": "Its number, as people see it",
	"agent": "Name of the agent", "user": "User name; me is the caller", "organization": "Name of the organization", "group": "Name of the group", "id": "Its id", "status": "Only those with this status", "outcome": "Only those with this outcome", "since": "Only what was then or later",
	"until": "Only what was before", "limit": "How many items a page has at most", "os": "As Go names it: linux", "arch": "As Go names it: amd64",
}

// operations are those of a path, in a fixed order.
func operations(item *huma.PathItem) []*huma.Operation {
	all := []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete, item.Head, item.Options, item.Trace}
	return slices.DeleteFunc(all, func(op *huma.Operation) bool { return op == nil })
}

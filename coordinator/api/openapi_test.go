package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	verrors "github.com/pb33f/libopenapi-validator/errors"
)

// document is what the tests read of the OpenAPI document.
type document struct {
	OpenAPI    string
	Paths      map[string]map[string]operation
	Components struct {
		SecuritySchemes map[string]struct{ Type, Scheme, Description string }
		Schemas         map[string]*schema
	}
}

type operation struct {
	OperationID, Summary string
	Tags                 []string
	Security             []map[string][]string
	Parameters           []parameter
	RequestBody          *struct{ Content map[string]mediaType }
	Responses            map[string]struct {
		Description string
		Content     map[string]mediaType
	}
}

type parameter struct {
	Name, In, Description string
	Required              bool
	Schema                *schema
	Example               any
}

type mediaType struct {
	Schema  *schema
	Example any
}

type schema struct {
	Ref                  string `json:"$ref"`
	Type                 any    // text or a list
	Format, Pattern      string
	Enum                 []any
	Properties           map[string]*schema
	AdditionalProperties any
	Items                *schema
	Required             []string
	MaxLength            *int
}

func (d *deployment) document(t *testing.T) ([]byte, document) {
	t.Helper()
	resp, raw := d.send(t, http.MethodGet, "/api/openapi.json", "", nil)
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || ct != "application/openapi+json" {
		t.Fatalf("%d %s %.200s", resp.StatusCode, ct, raw)
	}
	var doc document
	if err := json.Unmarshal([]byte(raw), &doc); err != nil {
		t.Fatal(err)
	}
	return []byte(raw), doc
}

func TestTheDocumentIsValidOpenAPI31(t *testing.T) {
	raw, doc := deploy(t).document(t)
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("OpenAPI %q, want 3.1", doc.OpenAPI)
	}
	parsed, err := libopenapi.NewDocument(raw)
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(parsed)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if ok, problems := v.ValidateDocument(); !ok {
		t.Error(explain(problems))
	}
}

// An operation that is added has to be complete, or this fails.
func TestTheDocumentIsComplete(t *testing.T) {
	_, doc := deploy(t).document(t)
	for name, s := range doc.Components.SecuritySchemes {
		if s.Type != "http" || s.Scheme != "bearer" || s.Description == "" {
			t.Errorf("security scheme %s: %+v", name, s)
		}
	}
	ids := make(map[string]bool)
	for path, methods := range doc.Paths {
		if !strings.HasPrefix(path, "/api/v1/") {
			t.Errorf("%s is not below /api/v1", path)
		}
		for method, op := range methods {
			at := method + " " + path
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || len(op.Tags) == 0 {
				t.Errorf("%s: id %q, summary %q, tags %v: none may be empty, and no id there twice", at, op.OperationID, op.Summary, op.Tags)
			}
			ids[op.OperationID] = true
			for _, p := range op.Parameters {
				if p.Description == "" || p.Schema == nil || p.Example == nil {
					t.Errorf("%s: parameter %s: description %q, example %v", at, p.Name, p.Description, p.Example)
				}
				if kind, _ := p.Schema.Type.(string); p.In != "path" && kind == "string" && p.Schema.MaxLength == nil && len(p.Schema.Enum) == 0 && p.Schema.Format == "" && p.Schema.Pattern == "" {
					t.Errorf("%s: parameter %s has no bound", at, p.Name)
				}
			}
			if op.RequestBody != nil {
				for ct, m := range op.RequestBody.Content {
					if m.Schema == nil || m.Example == nil {
						t.Errorf("%s: request %s has no schema or no example", at, ct)
					}
				}
			}
			want := []string{"500", "503"}
			if len(op.Security) > 0 {
				want = append(want, "401", "404")
			}
			if op.RequestBody != nil {
				want = append(want, "400", "413", "415", "422")
			}
			for _, status := range want {
				if _, ok := op.Responses[status].Content[problemJSON]; !ok {
					t.Errorf("%s: no problem for %s", at, status)
				}
			}
			good := 0
			for status, r := range op.Responses {
				if r.Description == "" {
					t.Errorf("%s: %s has no description", at, status)
				}
				if status < "300" {
					good++
				}
				if _, ok := r.Content["application/json"]; status == "200" && !ok && len(r.Content) == 0 {
					t.Errorf("%s: %s says nothing of what is answered", at, status)
				}
				for ct, m := range r.Content {
					if m.Schema == nil || m.Example == nil {
						t.Errorf("%s: %s %s has no schema or no example", at, status, ct)
					}
				}
			}
			if good != 1 {
				t.Errorf("%s: %d answers for success, want 1", at, good)
			}
		}
	}
	if len(ids) < 30 {
		t.Errorf("%d operations", len(ids))
	}
}

// Whoever copies an example is not told that it is wrong, and what is answered is
// as its example shows: both are held against their schemas by the validator.
func TestExamplesAreValid(t *testing.T) {
	raw, doc := deploy(t).document(t)
	parsed, err := libopenapi.NewDocument(raw)
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(parsed)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			target := path
			for _, p := range op.Parameters {
				if p.In == "path" {
					target = strings.ReplaceAll(target, "{"+p.Name+"}", fmt.Sprint(p.Example))
				}
			}
			req := httptest.NewRequest(strings.ToUpper(method), target, nil)
			if op.RequestBody != nil {
				body, err := json.Marshal(op.RequestBody.Content["application/json"].Example)
				if err != nil {
					t.Fatal(err)
				}
				req = httptest.NewRequest(strings.ToUpper(method), target, bytes.NewReader(body))
				req.Header.Set("Content-Type", "application/json")
				if ok, problems := v.GetRequestBodyValidator().ValidateRequestBody(req); !ok {
					t.Errorf("%s: the example of its request %s: %s", op.OperationID, body, explain(problems))
				}
			}
			for status, r := range op.Responses {
				for ct, m := range r.Content {
					if !strings.HasSuffix(ct, "json") || ct == ndjson {
						continue
					}
					body, err := json.Marshal(m.Example)
					if err != nil {
						t.Fatal(err)
					}
					code, err := strconv.Atoi(status)
					if err != nil {
						t.Fatal(err)
					}
					resp := &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {ct}}, Body: io.NopCloser(bytes.NewReader(body))}
					if ok, problems := v.GetResponseBodyValidator().ValidateResponseBody(req, resp); !ok {
						t.Errorf("%s: the example of its %s %s: %s", op.OperationID, status, body, explain(problems))
					}
				}
			}
		}
	}
}

func explain(problems []*verrors.ValidationError) string {
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(p.Message + ": " + p.Reason)
		for _, e := range p.SchemaValidationErrors {
			b.WriteString("; " + e.FieldPath + ": " + e.Reason)
		}
	}
	return b.String()
}

// The page needs nothing from elsewhere, and may not.
func TestTheDocsArePartOfTheProgram(t *testing.T) {
	d := deploy(t)
	for _, path := range []string{"/api/docs", "/api/docs/docs.js", "/api/docs/docs.css"} {
		resp, body := d.send(t, http.MethodGet, path, "", nil)
		if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d, policy %q", path, resp.StatusCode, resp.Header.Get("Content-Security-Policy"))
		}
		if strings.Contains(body, "//cdn") || strings.Contains(body, "src=\"http") || strings.Contains(body, "innerHTML") {
			t.Errorf("%s takes something from elsewhere, or writes markup", path)
		}
	}
	if resp, body := d.send(t, http.MethodGet, "/api/docs/other.js", "", nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

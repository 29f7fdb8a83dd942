package workspaces

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// What a provisioner says of a job's end is refused, or becomes what Postgres
// keeps and we read again.
func FuzzFinished(f *testing.F) {
	for _, r := range []*provisionerv1.Result{
		{Status: provisionerv1.Result_SUCCEEDED, Template: &provisionerv1.Template{LockFile: []byte("x")}},
		{Status: provisionerv1.Result_FAILED, Error: "a\x00b", Problems: []*provisionerv1.Problem{{Summary: "\x00"}}},
		{Resources: []*provisionerv1.Resource{{Type: "t", Name: "\\u0000"}}},
	} {
		raw, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, imports bool) {
		r := new(provisionerv1.Result)
		if proto.Unmarshal(raw, r) != nil {
			return
		}
		var j store.Job
		if imports {
			j.VersionID = uuid.New()
		}
		e, err := finishedFrom(store.JobAttempt{}, j, r)
		if err != nil {
			return
		}
		if bytes.ContainsRune([]byte(e.err), 0) || !utf8.ValidString(e.err) || len(e.err) > maxReason+len("…") {
			t.Errorf("error %q", e.err)
		}
		for what, b := range map[string][]byte{"problems": e.problems, "resources": e.resources, "found": e.found} {
			if b != nil && (!json.Valid(b) || bytes.Contains(b, []byte(`\u0000`))) {
				t.Errorf("%s: %q", what, b)
			}
		}
		if got, err := Resources(store.Build{Resources: e.resources}); err != nil || len(got) != len(r.GetResources()) {
			t.Errorf("%d resources became %d, %v", len(r.GetResources()), len(got), err)
		}
	})
}

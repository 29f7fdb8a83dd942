package tfprovider

import (
	"fmt"
	"os"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/process"
)

// Session is what a provider's process works for.
type Session struct {
	// build is nil if there is none.
	build     *provisionerv1.Build
	workspace uuid.UUID
	// importing is set when parameters need no values.
	importing bool
	host      process.Host
}

// imported stands for the workspace while a template is looked at.
func imported() *provisionerv1.Build {
	return &provisionerv1.Build{
		BuildId: uuid.NewSHA1(uuid.NameSpaceOID, []byte("build")).String(), Number: 1,
		WorkspaceId: uuid.NewSHA1(uuid.NameSpaceOID, []byte("workspace")).String(), WorkspaceName: "workspace",
		OwnerId: uuid.NewSHA1(uuid.NameSpaceOID, []byte("owner")).String(), OwnerName: "owner", OwnerEmail: "owner@example.com",
		TemplateName: "template", AccessUrl: "https://adit.example.com",
	}
}

// newSession reads the environment.
func newSession(lookup func(string) (string, bool)) (*Session, error) {
	s := &Session{}
	s.host.Dir, _ = lookup("ADIT_DATA_DIR")
	var err error
	if s.host.Binary, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("tfprovider: find the adit binary: %w", err)
	}
	if raw, ok := lookup("ADIT_BUILD"); ok {
		s.build = &provisionerv1.Build{}
		// A coordinator may be newer than this program.
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(raw), s.build); err != nil {
			return nil, fmt.Errorf("tfprovider: ADIT_BUILD is no build") // the error would quote secrets
		}
	} else if v, _ := lookup("ADIT_IMPORT"); v != "" {
		s.importing, s.build = true, imported()
	} else {
		return s, nil
	}
	if s.workspace, err = uuid.Parse(s.build.GetWorkspaceId()); err != nil {
		return nil, fmt.Errorf("tfprovider: ADIT_BUILD: workspace id %q: %w", s.build.GetWorkspaceId(), err)
	}
	return s, nil
}

// starts reports whether the build starts the workspace.
func (s *Session) starts() bool { return s.build.GetTransition() == provisionerv1.Transition_START }

// transition returns the build's as templates read it.
func (s *Session) transition() string {
	switch s.build.GetTransition() {
	case provisionerv1.Transition_STOP:
		return "stop"
	case provisionerv1.Transition_DELETE:
		return "delete"
	}
	return "start"
}

package workspaces

import (
	"context"
	"crypto/sha256"
	"fmt"
	"regexp"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// templateName is what a template may be called.
var templateName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// Push is a new version of a template.
type Push struct {
	// Template is its name; it is made if its organization has none of that name.
	Template string
	// Message is for people.
	Message string
	// Archive is a gzipped tar of the template's directory.
	Archive []byte
	// Variables are values of Terraform's input variables. Tags are what a
	// provisioner must have to get the version's jobs.
	Variables, Tags map[string]string
	CreatorID       uuid.UUID
	// OrganizationID is where the template belongs; zero is the default one.
	OrganizationID uuid.UUID
	// Activate makes it the active version when its import succeeds, and Tests has that
	// run Terraform's own tests, too.
	Activate, Tests bool
}

// PushTemplate keeps a new version and queues its import. FollowLog follows
// that, and TemplateVersion tells what became of it: Import.Status, Problems.
// A bad archive is a *[BadInput].
func (s *Service) PushTemplate(ctx context.Context, p Push) (store.TemplateVersion, error) {
	if !templateName.MatchString(p.Template) {
		return store.TemplateVersion{}, badInput("template name %q: use up to 32 lower-case letters, digits and dashes", p.Template)
	}
	if err := checkArchive(p.Archive); err != nil {
		return store.TemplateVersion{}, err
	}
	digest := sha256.Sum256(p.Archive)
	id, err := s.store.CreateVersion(ctx, store.NewVersion{
		TemplateName: p.Template, Message: p.Message, Archive: p.Archive, Digest: digest[:],
		Tags: p.Tags, Variables: p.Variables, CreatorID: p.CreatorID, OrganizationID: p.OrganizationID, Activate: p.Activate, Tests: p.Tests,
	})
	if err != nil {
		return store.TemplateVersion{}, err
	}
	s.act(lookForWork{})
	return s.store.TemplateVersion(ctx, id)
}

// TemplateVersions lists a template's versions, newest first.
func (s *Service) TemplateVersions(ctx context.Context, templateID uuid.UUID, q store.BuildQuery) ([]store.TemplateVersion, error) {
	return s.store.TemplateVersions(ctx, templateID, q)
}

// TemplateVersionByNumber finds a version as people name it.
func (s *Service) TemplateVersionByNumber(ctx context.Context, templateID uuid.UUID, number int) (store.TemplateVersion, error) {
	return s.store.TemplateVersionByNumber(ctx, templateID, number)
}

// TemplateVersion finds a version.
func (s *Service) TemplateVersion(ctx context.Context, id uuid.UUID) (store.TemplateVersion, error) {
	return s.store.TemplateVersion(ctx, id)
}

// TemplateArchive returns the files of a version: a gzipped tar.
func (s *Service) TemplateArchive(ctx context.Context, versionID uuid.UUID) ([]byte, error) {
	return s.store.VersionArchive(ctx, versionID)
}

// ActivateVersion makes a version the active one; store.ErrNotFound unless its
// import succeeded, store.ErrChanged unless the template is at one of the versions.
func (s *Service) ActivateVersion(ctx context.Context, v store.TemplateVersion, at store.Versions) error {
	return s.store.ActivateVersion(ctx, v.TemplateID, v.ID, at)
}

// DeleteTemplate deletes a template that no workspace is made from; else the
// error is a *store.TemplateInUse.
func (s *Service) DeleteTemplate(ctx context.Context, id uuid.UUID) error {
	return s.store.DeleteTemplate(ctx, id)
}

// Found returns what the import of a version found; nil until it succeeded.
func Found(v store.TemplateVersion) (*provisionerv1.Template, error) {
	if v.Found == nil {
		return nil, nil
	}
	t := new(provisionerv1.Template)
	if err := lenient.Unmarshal(v.Found, t); err != nil {
		return nil, fmt.Errorf("workspaces: what was found in template version %s: %w", v.ID, err)
	}
	return t, nil
}

// lenient reads what a later release may have written.
var lenient = protojson.UnmarshalOptions{DiscardUnknown: true}

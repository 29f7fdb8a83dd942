package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Template is a name for versions of Terraform files.
type Template struct {
	ID              uuid.UUID
	OrganizationID  uuid.UUID
	Organization    string // its name
	Name            string
	Creator         string    // user name
	ActiveVersionID uuid.UUID // zero until the first import succeeded
	ActiveNumber    int       // zero likewise
	Workspaces      int       // that are not deleted
	Deprecated      string    // why it is not to be used any more; empty unless that is so
	// Revision grows with every change of which version is active, and of limits.
	Revision  int64
	CreatedAt time.Time
}

// TemplateVersion is the files of a template as they were pushed once.
type TemplateVersion struct {
	ID, TemplateID uuid.UUID
	TemplateName   string
	Number         int
	Message        string
	Creator        string // user name
	Digest         []byte // SHA-256 of the archive
	Tags           map[string]string
	Variables      map[string]string
	// Found is a provisionerv1.Template in protojson; nil until the import
	// succeeded.
	Found     []byte
	LockFile  []byte
	Tests     bool // whether its import runs Terraform's own tests, too
	CreatedAt time.Time
	Import    Job
}

// NewVersion is what a version starts from. The template is made with it if its
// organization has none of that name.
type NewVersion struct {
	TemplateName    string
	Message         string
	Archive, Digest []byte
	Tags, Variables map[string]string
	CreatorID       uuid.UUID
	// OrganizationID is where the template belongs; zero is the default one.
	OrganizationID uuid.UUID
	// Activate makes it the active version when its import succeeds, and Tests has that
	// run Terraform's own tests, too.
	Activate, Tests bool
}

// CreateVersion adds a version with its import queued, and returns its id.
func (s *Store) CreateVersion(ctx context.Context, n NewVersion) (uuid.UUID, error) {
	var id uuid.UUID
	if n.OrganizationID == uuid.Nil {
		n.OrganizationID = DefaultOrganization
	}
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		t, err := q.InsertTemplate(ctx, db.InsertTemplateParams{
			Name: n.TemplateName, CreatedBy: n.CreatorID, OrganizationID: n.OrganizationID,
		})
		if err != nil {
			return err
		}
		// Versions are numbered one at a time.
		if _, err := q.LockTemplate(ctx, t.ID); err != nil {
			return err
		}
		v, err := q.InsertTemplateVersion(ctx, db.InsertTemplateVersionParams{
			TemplateID: t.ID, Message: n.Message, Archive: n.Archive, Digest: n.Digest,
			Tags: jsonMap(n.Tags), Variables: jsonMap(n.Variables), Activate: n.Activate, Tests: n.Tests, CreatedBy: n.CreatorID,
		})
		if err != nil {
			return err
		}
		id = v.ID
		_, err = q.InsertVersionJob(ctx, db.InsertVersionJobParams{TemplateVersionID: nullable(v.ID), Tags: jsonMap(n.Tags)})
		return err
	})
	if err != nil {
		return uuid.Nil, fmt.Errorf("store: create version of template %s: %w", n.TemplateName, kind(err))
	}
	return id, nil
}

// Templates lists the templates of some organizations, by the names of template and
// organization.
func (s *Store) Templates(ctx context.Context, of Scope, p Page) ([]Template, error) {
	rows, err := one(ctx, "templates", func(ctx context.Context) ([]db.TemplatesRow, error) {
		return s.q.Templates(ctx, db.TemplatesParams{
			Everywhere: of.Everywhere, Organizations: of.in(), AfterName: strings.ToLower(p.after(0)), AfterOrganization: strings.ToLower(p.after(1)),
			Name: p.Name, Max: int32(p.Max),
		})
	})
	list := make([]Template, 0, len(rows))
	for _, r := range rows {
		list = append(list, templateFrom(db.TemplatesByNameRow(r)))
	}
	return list, err
}

// TemplatesByName finds the templates of a name, in any case: each organization may
// have one.
func (s *Store) TemplatesByName(ctx context.Context, name string) ([]Template, error) {
	rows, err := one(ctx, "template "+name, func(ctx context.Context) ([]db.TemplatesByNameRow, error) { return s.q.TemplatesByName(ctx, name) })
	list := make([]Template, 0, len(rows))
	for _, r := range rows {
		list = append(list, templateFrom(r))
	}
	return list, err
}

func templateFrom(r db.TemplatesByNameRow) Template {
	return Template{
		ID: r.ID, OrganizationID: r.OrganizationID, Organization: r.OrganizationName, Name: r.Name, Creator: r.Creator, ActiveVersionID: r.ActiveVersionID.UUID,
		ActiveNumber: int(r.ActiveNumber), Workspaces: int(r.Workspaces), Deprecated: r.Deprecated, Revision: r.Version, CreatedAt: r.CreatedAt,
	}
}

// TemplatesByID finds templates, deleted ones too, without the number of their
// workspaces.
func (s *Store) TemplatesByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]Template, error) {
	rows, err := one(ctx, "templates by id", func(ctx context.Context) ([]db.TemplatesByIDRow, error) { return s.q.TemplatesByID(ctx, ids) })
	found := make(map[uuid.UUID]Template, len(rows))
	for _, r := range rows {
		found[r.ID] = Template{ID: r.ID, Name: r.Name, ActiveVersionID: r.ActiveVersionID.UUID, ActiveNumber: int(r.ActiveNumber)}
	}
	return found, err
}

// TemplateVersions lists a template's versions, newest first. There are no
// transitions to choose by.
func (s *Store) TemplateVersions(ctx context.Context, templateID uuid.UUID, b BuildQuery) ([]TemplateVersion, error) {
	rows, err := one(ctx, "versions of template "+templateID.String(), func(ctx context.Context) ([]db.TemplateVersionsRow, error) {
		return s.q.TemplateVersions(ctx, db.TemplateVersionsParams{
			TemplateID: templateID, Before: b.before(), Status: string(b.Status), Max: int32(b.Max),
		})
	})
	list := make([]TemplateVersion, 0, len(rows))
	for _, r := range rows {
		list = append(list, versionFrom(db.TemplateVersionRow(r)))
	}
	return list, err
}

// TemplateVersionByNumber finds a version of a template.
func (s *Store) TemplateVersionByNumber(ctx context.Context, templateID uuid.UUID, number int) (TemplateVersion, error) {
	r, err := one(ctx, fmt.Sprintf("version %d of template %s", number, templateID), func(ctx context.Context) (db.TemplateVersionByNumberRow, error) {
		return s.q.TemplateVersionByNumber(ctx, db.TemplateVersionByNumberParams{TemplateID: templateID, Number: int32(number)})
	})
	if err != nil {
		return TemplateVersion{}, err
	}
	return versionFrom(db.TemplateVersionRow(r)), nil
}

// TemplateVersion finds a version.
func (s *Store) TemplateVersion(ctx context.Context, id uuid.UUID) (TemplateVersion, error) {
	r, err := one(ctx, "template version "+id.String(), func(ctx context.Context) (db.TemplateVersionRow, error) {
		return s.q.TemplateVersion(ctx, id)
	})
	if err != nil {
		return TemplateVersion{}, err
	}
	return versionFrom(r), nil
}

func versionFrom(r db.TemplateVersionRow) TemplateVersion {
	return TemplateVersion{
		ID: r.ID, TemplateID: r.TemplateID, TemplateName: r.TemplateName, Number: int(r.Number), Message: r.Message,
		Creator: r.Creator, Digest: r.Digest, Tags: mapFrom(r.Tags), Variables: mapFrom(r.Variables),
		Found: r.Found, LockFile: r.LockFile, Tests: r.Tests, CreatedAt: r.CreatedAt, Import: jobFrom(r.Job),
	}
}

// VersionArchive returns the files of a version, as they were pushed.
func (s *Store) VersionArchive(ctx context.Context, id uuid.UUID) ([]byte, error) {
	return one(ctx, "archive of template version "+id.String(), func(ctx context.Context) ([]byte, error) {
		return s.q.VersionArchive(ctx, id)
	})
}

// ActivateVersion makes a version the active one of its template; ErrNotFound
// unless its import succeeded, ErrChanged unless the template is at one of the
// versions.
func (s *Store) ActivateVersion(ctx context.Context, templateID, id uuid.UUID, at Versions) error {
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		t, err := q.LockTemplate(ctx, templateID)
		if err != nil {
			return err
		}
		if err := at.Check(t.Version); err != nil {
			return err
		}
		n, err := q.ActivateVersion(ctx, id)
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("store: activate template version %s: %w", id, kind(err))
	}
	return nil
}

// TemplateInUse says how many workspaces keep a template from being deleted.
type TemplateInUse struct{ Workspaces int }

func (e *TemplateInUse) Error() string {
	return fmt.Sprintf("there are workspaces made from it (%d); delete them first, and keep none prepared", e.Workspaces)
}

// Unwrap makes it match ErrConflict.
func (e *TemplateInUse) Unwrap() error { return ErrConflict }

// DeleteTemplate deletes a template that no workspace is made from; else the
// error is a *TemplateInUse.
func (s *Store) DeleteTemplate(ctx context.Context, id uuid.UUID) error {
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		if _, err := q.LockTemplate(ctx, id); err != nil {
			return err
		}
		n, err := q.CountTemplateWorkspaces(ctx, nullable(id))
		if err != nil {
			return err
		}
		if n > 0 {
			return &TemplateInUse{Workspaces: int(n)}
		}
		if _, err := q.DeleteTemplateWebhook(ctx, id); err != nil {
			return err
		}
		return q.DeleteTemplate(ctx, id)
	})
	if err != nil {
		return fmt.Errorf("store: delete template %s: %w", id, kind(err))
	}
	return nil
}

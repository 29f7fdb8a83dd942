package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/coordinator/workspaces"
	"github.com/aditmesh/adit/pkg/archive"
	"github.com/aditmesh/adit/pkg/foreign"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// maxPush bounds a request that brings an archive, which JSON makes a third
	// larger.
	maxPush = archive.MaxPacked/3*4 + maxBody

	// uploadTimeout bounds how long a large body may take over a slow line.
	uploadTimeout = 2 * time.Minute
)

// TemplatePath names a template. What operations share is exported, or the
// library does not see it.
type TemplatePath struct {
	Name string `path:"name" maxLength:"64"`
	InOrganization
}

// VersionPath names a version of a template.
type VersionPath struct {
	TemplatePath
	Number int `path:"number" minimum:"1" maximum:"1000000"`
}

// raw is an answer that is no JSON.
type raw struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (a *API) registerTemplates(h huma.API) {
	const templates, versions = "/api/v1/templates", "/api/v1/templates/{name}/versions"
	huma.Register(h, huma.Operation{
		OperationID: "list-templates", Method: http.MethodGet, Path: templates, Summary: "List templates", Security: signedIn(),
	}, a.listTemplates)
	huma.Register(h, huma.Operation{
		OperationID: "get-template", Method: http.MethodGet, Path: templates + "/{name}", Summary: "Show a template", Security: signedIn(),
	}, a.getTemplate)
	huma.Register(h, huma.Operation{
		OperationID: "delete-template", Method: http.MethodDelete, Path: templates + "/{name}",
		Summary: "Delete a template that no workspace uses", Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.deleteTemplate)
	huma.Register(h, huma.Operation{
		OperationID: "push-template", Method: http.MethodPost, Path: versions, Summary: "Make a version of a template, or the template",
		Security: signedIn(), DefaultStatus: http.StatusCreated, MaxBodyBytes: maxPush, BodyReadTimeout: uploadTimeout,
		Metadata: map[string]any{endless: true},
	}, a.pushTemplate)
	huma.Register(h, huma.Operation{
		OperationID: "list-versions", Method: http.MethodGet, Path: versions, Summary: "List a template's versions", Security: signedIn(),
	}, a.listVersions)
	huma.Register(h, huma.Operation{
		OperationID: "get-version", Method: http.MethodGet, Path: versions + "/{number}", Summary: "Show a version of a template", Security: signedIn(),
	}, a.getVersion)
	huma.Register(h, huma.Operation{
		OperationID: "pull-template", Method: http.MethodGet, Path: versions + "/{number}/archive", Summary: "The files of a version: a gzipped tar", Security: signedIn(), Metadata: map[string]any{media: "application/gzip"},
	}, a.pullTemplate)
	huma.Register(h, huma.Operation{
		OperationID: "activate-version", Method: http.MethodPost, Path: versions + "/{number}/activate",
		Summary: "Make a version the one that new workspaces get", Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.activateVersion)
	huma.Register(h, huma.Operation{
		OperationID: "cancel-version", Method: http.MethodPost, Path: versions + "/{number}/cancel",
		Summary: "Ask for the end of a version's import", Security: signedIn(), DefaultStatus: http.StatusNoContent, MaxBodyBytes: maxBody,
	}, a.cancelVersion)
	huma.Register(h, huma.Operation{
		OperationID: "version-logs", Method: http.MethodGet, Path: versions + "/{number}/logs",
		Summary: "The log of a version's import, a JSON object a line", Security: signedIn(), Metadata: map[string]any{endless: true, media: ndjson},
	}, a.versionLogs)
}

func (a *API) listTemplates(ctx context.Context, in *Query) (*body[sdk.List[sdk.Template]], error) {
	seen := within(ctx, auth.Read, auth.Template)
	return paged(a, *in, "templates", "", 2,
		func(p store.Page) ([]store.Template, error) { return a.Store.Templates(ctx, seen, p) },
		func(t store.Template) []string { return []string{t.Name, t.Organization} }, templateJSON)
}

// template finds a template that the caller may do something with.
func (a *API) template(ctx context.Context, action auth.Action, in TemplatePath) (store.Template, error) {
	t, err := a.theTemplate(ctx, in.Name, in.Organization)
	if err != nil {
		return t, a.problem(err)
	}
	return t, a.allow(ctx, action, templateObject(t))
}

// theTemplate finds the template that the caller means by a name, which may have the
// organization's before it.
func (a *API) theTemplate(ctx context.Context, name, organization string) (store.Template, error) {
	if o, rest, ok := strings.Cut(name, "/"); ok && organization == "" {
		organization, name = o, rest
	}
	if !isText(name) {
		return store.Template{}, store.ErrNotFound
	}
	list, err := a.Store.TemplatesByName(ctx, name)
	if err != nil {
		return store.Template{}, err
	}
	return meant(ctx, list, organization, "template", name, templateObject, func(t store.Template) string { return t.Organization })
}

func (a *API) getTemplate(ctx context.Context, in *TemplatePath) (*tagged[sdk.Template], error) {
	t, err := a.template(ctx, auth.Read, *in)
	if err != nil {
		return nil, err
	}
	out := templateJSON(t)
	if t.ActiveVersionID != uuid.Nil {
		v, err := a.Workspaces.TemplateVersion(ctx, t.ActiveVersionID)
		if err != nil {
			return nil, a.problem(err)
		}
		active, err := versionJSON(v, t)
		if err != nil {
			return nil, a.problem(err)
		}
		out.Active = &active
	}
	return &tagged[sdk.Template]{version(t.Revision), out}, nil
}

func (a *API) deleteTemplate(ctx context.Context, in *TemplatePath) (*struct{}, error) {
	t, err := a.template(ctx, auth.Delete, *in)
	if err != nil {
		return nil, err
	}
	if err := a.Workspaces.DeleteTemplate(ctx, t.ID); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

// pushTemplate takes what runs on provisioners, with what they may do.
func (a *API) pushTemplate(ctx context.Context, in *struct {
	TemplatePath
	Body sdk.PushVersion
}) (*body[sdk.TemplateVersion], error) {
	if in.Organization == "" {
		in.Organization = in.Body.Organization
	}
	o, err := a.mayPush(ctx, in.TemplatePath)
	if err != nil {
		return nil, err
	}
	if err := checkTexts(in.Body.Tags, in.Body.Variables); err != nil {
		return nil, err
	}
	v, err := a.Workspaces.PushTemplate(ctx, workspaces.Push{
		Template: in.Name, Message: in.Body.Message, Archive: in.Body.Archive, Variables: in.Body.Variables, Tags: in.Body.Tags,
		CreatorID: caller(ctx).UserID, OrganizationID: o.ID, Activate: !in.Body.Inactive,
	})
	if err != nil {
		return nil, a.problem(err)
	}
	in.Organization = o.Name
	t, err := a.template(ctx, auth.Read, in.TemplatePath)
	if err != nil {
		return nil, err
	}
	return a.answerVersion(v, t)
}

// mayPush returns an error unless the caller may push a version of a template, which
// is made by it, in an organization, if it is new. It returns where the template
// belongs.
func (a *API) mayPush(ctx context.Context, in TemplatePath) (store.Organization, error) {
	t, err := a.theTemplate(ctx, in.Name, in.Organization)
	switch {
	case errors.Is(err, store.ErrNotFound):
		o, err := a.organization(ctx, in.Organization)
		if err != nil {
			return o, err
		}
		return o, a.allow(ctx, auth.Create, auth.Object{Type: auth.Template, Organization: o.ID})
	case err != nil:
		return store.Organization{}, a.problem(err)
	}
	return store.Organization{ID: t.OrganizationID, Name: t.Organization}, a.allow(ctx, auth.Update, templateObject(t))
}

func (a *API) answerVersion(v store.TemplateVersion, t store.Template) (*body[sdk.TemplateVersion], error) {
	out, err := versionJSON(v, t)
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.TemplateVersion]{out}, nil
}

const (
	// maxTexts and maxText bound maps that people fill in.
	maxTexts = 200
	maxText  = 16 << 10
)

// checkTexts reports which of maps that people fill in cannot be kept.
func checkTexts(maps ...map[string]string) error {
	for _, m := range maps {
		if len(m) > maxTexts {
			return huma.Error422UnprocessableEntity("too many values")
		}
		for k, v := range m {
			if k == "" || len(k) > 200 || len(v) > maxText || !isText(k) || !isText(v) {
				return huma.Error422UnprocessableEntity("the value of " + foreign.Printable(k) + " is too long or no text")
			}
		}
	}
	return nil
}

func (a *API) listVersions(ctx context.Context, in *struct {
	TemplatePath
	Query
}) (*body[sdk.List[sdk.TemplateVersion]], error) {
	t, err := a.template(ctx, auth.Read, in.TemplatePath)
	if err != nil {
		return nil, err
	}
	const list = "versions"
	filter := t.ID.String() + in.Q
	q, err := in.numbered(list, filter, "status")
	if err != nil {
		return nil, err
	}
	found, err := a.Workspaces.TemplateVersions(ctx, t.ID, q)
	if err != nil {
		return nil, a.problem(err)
	}
	found, next := cut(found, in.Page, func(last store.TemplateVersion) string { return cursor(list, filter, strconv.Itoa(last.Number)) })
	items := make([]sdk.TemplateVersion, 0, len(found))
	for _, v := range found {
		item, err := versionJSON(v, t)
		if err != nil {
			return nil, a.problem(err)
		}
		items = append(items, item)
	}
	return listBody(items, next), nil
}

// version finds a version, by its number, of a template that the caller may do
// something with.
func (a *API) version(ctx context.Context, action auth.Action, in *VersionPath) (store.Template, store.TemplateVersion, error) {
	t, err := a.template(ctx, action, in.TemplatePath)
	if err != nil {
		return t, store.TemplateVersion{}, err
	}
	v, err := a.Workspaces.TemplateVersionByNumber(ctx, t.ID, in.Number)
	if err != nil {
		return t, v, a.problem(err)
	}
	return t, v, nil
}

// source finds a version whose files the caller may read.
func (a *API) source(ctx context.Context, in *VersionPath) (store.TemplateVersion, error) {
	t, v, err := a.version(ctx, auth.Read, in)
	if err != nil {
		return v, err
	}
	return v, a.allow(ctx, auth.Read, auth.Object{Type: auth.TemplateSource, ID: t.ID, Name: t.Name, Organization: t.OrganizationID})
}

func (a *API) getVersion(ctx context.Context, in *VersionPath) (*body[sdk.TemplateVersion], error) {
	t, v, err := a.version(ctx, auth.Read, in)
	if err != nil {
		return nil, err
	}
	return a.answerVersion(v, t)
}

func (a *API) pullTemplate(ctx context.Context, in *VersionPath) (*raw, error) {
	v, err := a.source(ctx, in)
	if err != nil {
		return nil, err
	}
	files, err := a.Workspaces.TemplateArchive(ctx, v.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	return &raw{ContentType: "application/gzip", Body: files}, nil
}

func (a *API) activateVersion(ctx context.Context, in *struct {
	VersionPath
	IfMatch
}) (*struct{}, error) {
	_, v, err := a.version(ctx, auth.Update, &in.VersionPath)
	if err != nil {
		return nil, err
	}
	if v.Found == nil {
		return nil, huma.Error409Conflict("the import of that version has not succeeded")
	}
	if err := a.Workspaces.ActivateVersion(ctx, v, in.versions()); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

func (a *API) cancelVersion(ctx context.Context, in *struct {
	VersionPath
	Body sdk.Cancel
}) (*struct{}, error) {
	_, v, err := a.version(ctx, auth.Update, &in.VersionPath)
	if err != nil {
		return nil, err
	}
	return nil, a.cancel(ctx, v.Import, in.Body.Force)
}

// versionLogs is for those who may read the files: an import may say what is in
// them.
func (a *API) versionLogs(ctx context.Context, in *struct {
	VersionPath
	LogQuery
}) (*huma.StreamResponse, error) {
	v, err := a.source(ctx, &in.VersionPath)
	if err != nil {
		return nil, err
	}
	return a.jobLog(v.Import, in.LogQuery), nil
}

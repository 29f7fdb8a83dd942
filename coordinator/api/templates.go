package api

import (
	"context"
	"net/http"
	"regexp"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/archive"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// maxPush bounds a request that brings an archive, which JSON makes a third
	// larger.
	maxPush = archive.MaxPacked/3*4 + maxBody

	// uploadTimeout bounds how long a large body may take over a slow line.
	uploadTimeout = 2 * time.Minute
)

// Templates is what the API asks of templates. Versions are named by number.
type Templates interface {
	Templates(ctx context.Context) ([]sdk.Template, error)
	Template(ctx context.Context, name string) (sdk.Template, error)
	DeleteTemplate(ctx context.Context, name string) error
	// PushVersion makes a version, and the template if there is none. The
	// archive has been checked.
	PushVersion(ctx context.Context, by uuid.UUID, template string, p sdk.PushVersion) (sdk.TemplateVersion, error)
	Versions(ctx context.Context, template string) ([]sdk.TemplateVersion, error)
	Version(ctx context.Context, template string, number int) (sdk.TemplateVersion, error)
	Archive(ctx context.Context, template string, number int) ([]byte, error)
	Activate(ctx context.Context, template string, number int) error
}

type templatePath struct {
	Name string `path:"name" maxLength:"64"`
}

type versionPath struct {
	Name   string `path:"name" maxLength:"64"`
	Number int    `path:"number" minimum:"1" maximum:"1000000"`
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
		OperationID: "pull-template", Method: http.MethodGet, Path: versions + "/{number}/archive", Summary: "The files of a version: a gzipped tar", Security: signedIn(),
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
		Summary: "The log of a version's import, a JSON object a line", Security: signedIn(), Metadata: map[string]any{endless: true},
	}, a.versionLogs)
}

func (a *API) listTemplates(ctx context.Context, _ *struct{}) (*body[sdk.List[sdk.Template]], error) {
	list, err := a.Workspaces.Templates(ctx)
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.List[sdk.Template]]{sdk.List[sdk.Template]{Items: items(list)}}, nil
}

// items is a list that is never null in JSON.
func items[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (a *API) getTemplate(ctx context.Context, in *templatePath) (*body[sdk.Template], error) {
	if !isText(in.Name) {
		return nil, a.problem(store.ErrNotFound)
	}
	t, err := a.Workspaces.Template(ctx, in.Name)
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.Template]{t}, nil
}

func (a *API) deleteTemplate(ctx context.Context, in *templatePath) (*struct{}, error) {
	if err := a.owns(ctx, "delete templates"); err != nil {
		return nil, err
	}
	if !isText(in.Name) {
		return nil, a.problem(store.ErrNotFound)
	}
	if err := a.Workspaces.DeleteTemplate(ctx, in.Name); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

// label is what names of templates look like.
var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// pushTemplate takes what runs on provisioners, with what they may do: hence
// from owners of the deployment alone.
func (a *API) pushTemplate(ctx context.Context, in *struct {
	templatePath
	Body sdk.PushVersion
}) (*body[sdk.TemplateVersion], error) {
	if err := a.owns(ctx, "push templates"); err != nil {
		return nil, err
	}
	if !label.MatchString(in.Name) {
		return nil, huma.Error422UnprocessableEntity("the name of a template is a label of at most 32 lower-case letters, digits and hyphens")
	}
	if err := checkTexts(in.Body.Tags, in.Body.Variables); err != nil {
		return nil, err
	}
	if err := archive.Check(in.Body.Archive); err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	v, err := a.Workspaces.PushVersion(ctx, caller(ctx).UserID, in.Name, in.Body)
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.TemplateVersion]{v}, nil
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
				return huma.Error422UnprocessableEntity("the value of " + printable(k) + " is too long or no text")
			}
		}
	}
	return nil
}

func (a *API) listVersions(ctx context.Context, in *templatePath) (*body[sdk.List[sdk.TemplateVersion]], error) {
	if !isText(in.Name) {
		return nil, a.problem(store.ErrNotFound)
	}
	list, err := a.Workspaces.Versions(ctx, in.Name)
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.List[sdk.TemplateVersion]]{sdk.List[sdk.TemplateVersion]{Items: items(list)}}, nil
}

// version finds a version.
func (a *API) version(ctx context.Context, in *versionPath) (sdk.TemplateVersion, error) {
	if !isText(in.Name) {
		return sdk.TemplateVersion{}, a.problem(store.ErrNotFound)
	}
	v, err := a.Workspaces.Version(ctx, in.Name, in.Number)
	if err != nil {
		return v, a.problem(err)
	}
	return v, nil
}

func (a *API) getVersion(ctx context.Context, in *versionPath) (*body[sdk.TemplateVersion], error) {
	v, err := a.version(ctx, in)
	if err != nil {
		return nil, err
	}
	return &body[sdk.TemplateVersion]{v}, nil
}

func (a *API) pullTemplate(ctx context.Context, in *versionPath) (*raw, error) {
	if err := a.owns(ctx, "read the files of templates"); err != nil {
		return nil, err
	}
	if _, err := a.version(ctx, in); err != nil {
		return nil, err
	}
	files, err := a.Workspaces.Archive(ctx, in.Name, in.Number)
	if err != nil {
		return nil, a.problem(err)
	}
	return &raw{ContentType: "application/gzip", Body: files}, nil
}

func (a *API) activateVersion(ctx context.Context, in *versionPath) (*struct{}, error) {
	if err := a.owns(ctx, "activate versions of templates"); err != nil {
		return nil, err
	}
	if _, err := a.version(ctx, in); err != nil {
		return nil, err
	}
	if err := a.Workspaces.Activate(ctx, in.Name, in.Number); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

func (a *API) cancelVersion(ctx context.Context, in *struct {
	versionPath
	Body sdk.Cancel
}) (*struct{}, error) {
	if err := a.owns(ctx, "cancel imports"); err != nil {
		return nil, err
	}
	v, err := a.version(ctx, &in.versionPath)
	if err != nil {
		return nil, err
	}
	return nil, a.cancel(ctx, v.Job, in.Body.Force)
}

// versionLogs is for owners of the deployment: an import may say what is in
// the files.
func (a *API) versionLogs(ctx context.Context, in *struct {
	versionPath
	logQuery
}) (*huma.StreamResponse, error) {
	if err := a.owns(ctx, "read the logs of imports"); err != nil {
		return nil, err
	}
	v, err := a.version(ctx, &in.versionPath)
	if err != nil {
		return nil, err
	}
	return a.jobLog(v.Job, in.logQuery)
}

package sdk

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// MaxArchive bounds a template's archive as it is sent; the coordinator refuses
// larger ones.
const MaxArchive = 8 << 20

// Template is Terraform that workspaces are made from.
type Template struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Organization is where it belongs; others may have a template of that name.
	Organization string    `json:"organization" doc:"Name of the organization that it belongs to"`
	CreatedAt    time.Time `json:"created_at"`
	// ActiveNumber is the version that new workspaces get; zero until the first
	// import has succeeded. Lists leave Active out.
	ActiveNumber int              `json:"active_version"`
	Active       *TemplateVersion `json:"active,omitempty"`
	Workspaces   int              `json:"workspaces" doc:"How many were made from it and are there"`
	Deprecated   string           `json:"deprecated,omitempty" doc:"Why it is not to be used any more; left out unless that is so"`
}

// TemplateVersion is a template's files as they were pushed, and what was found
// in them.
type TemplateVersion struct {
	ID        string            `json:"id"`
	Number    int               `json:"number"`
	Message   string            `json:"message,omitempty"`
	Active    bool              `json:"active"`
	CreatedBy string            `json:"created_by" doc:"User name"`
	CreatedAt time.Time         `json:"created_at"`
	Digest    string            `json:"digest" doc:"SHA-256 of the archive, in hex"`
	Tags      map[string]string `json:"tags" doc:"Its builds go to provisioners that have all of these"`
	Job       Job               `json:"job" doc:"The import"`
	// What follows is empty until the import has succeeded.
	Parameters        []Parameter       `json:"parameters"`
	Variables         []Variable        `json:"variables"`
	Resources         []Resource        `json:"resources"`
	RequiredVersion   string            `json:"required_version,omitempty" doc:"Of Terraform"`
	RequiredProviders map[string]string `json:"required_providers,omitempty" doc:"Version constraints by source address"`
}

// Parameter is what a template asks of whoever makes a workspace.
type Parameter struct {
	Name         string   `json:"name"`
	DisplayName  string   `json:"display_name,omitempty"`
	Description  string   `json:"description,omitempty"`
	Type         string   `json:"type" enum:"string,number,bool,list(string)"`
	Required     bool     `json:"required"`
	Default      string   `json:"default,omitempty"`
	Mutable      bool     `json:"mutable" doc:"It may change between builds"`
	Options      []Option `json:"options,omitempty"`
	Pattern      string   `json:"pattern,omitempty"`
	PatternError string   `json:"pattern_error,omitempty"`
	Min          *float64 `json:"min,omitempty"`
	Max          *float64 `json:"max,omitempty"`
}

// Option is one of the values a parameter may have.
type Option struct {
	Name        string `json:"name"`
	Value       string `json:"value"`
	Description string `json:"description,omitempty"`
}

// Variable is an input variable of a template's root module. Its value comes
// with the version.
type Variable struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Description string `json:"description,omitempty"`
	Required    bool   `json:"required"`
	Default     string `json:"default,omitempty" doc:"JSON"`
	Sensitive   bool   `json:"sensitive,omitempty"`
}

// PushVersion asks for a new version of a template, and for the template if
// there is none.
type PushVersion struct {
	Archive   []byte            `json:"archive" doc:"The files: a gzipped tar of regular files and directories, in base64"`
	Message   string            `json:"message,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" patternDescription:"text without control characters"`
	Tags      map[string]string `json:"tags,omitempty"`
	Variables map[string]string `json:"variables,omitempty" doc:"Values of the template's variables"`
	// Inactive keeps the version from becoming the active one when its import
	// succeeds.
	Inactive bool `json:"inactive,omitempty"`
	// Organization is where the template belongs; unless set that of the only one of
	// that name or, for a new one, the default one.
	Organization string `json:"organization,omitempty" maxLength:"64"`
}

// Template returns one template.
func (c *Client) Template(ctx context.Context, name string) (t Template, err error) {
	err = c.do(ctx, http.MethodGet, &t, nil, owned("templates", name)...)
	return t, err
}

// PushTemplate makes a version of a template. Its import has only begun.
func (c *Client) PushTemplate(ctx context.Context, name string, req PushVersion) (v TemplateVersion, err error) {
	err = c.do(ctx, http.MethodPost, &v, req, owned("templates", name, "versions")...)
	return v, err
}

// TemplateVersion returns one version.
func (c *Client) TemplateVersion(ctx context.Context, name string, number int) (v TemplateVersion, err error) {
	err = c.do(ctx, http.MethodGet, &v, nil, owned("templates", name, "versions", strconv.Itoa(number))...)
	return v, err
}

// ActivateVersion makes a version the one that new workspaces get.
func (c *Client) ActivateVersion(ctx context.Context, name string, number int) error {
	return c.do(ctx, http.MethodPost, nil, nil, owned("templates", name, "versions", strconv.Itoa(number), "activate")...)
}

// CancelVersion asks for the end of a version's import.
func (c *Client) CancelVersion(ctx context.Context, name string, number int, force bool) error {
	return c.do(ctx, http.MethodPost, nil, Cancel{Force: force}, owned("templates", name, "versions", strconv.Itoa(number), "cancel")...)
}

// VersionArchive returns the files of a version: a gzipped tar.
func (c *Client) VersionArchive(ctx context.Context, name string, number int) ([]byte, error) {
	return c.raw(ctx, owned("templates", name, "versions", strconv.Itoa(number), "archive")...)
}

// VersionLog returns the log of a version's import after a line, zero for all.
// It is followed until the job is over; else it ends with what there is.
func (c *Client) VersionLog(ctx context.Context, name string, number int, after int64, follow bool) (*Log, error) {
	return c.log(ctx, after, follow, owned("templates", name, "versions", strconv.Itoa(number), "logs")...)
}

// DeleteTemplate deletes a template that no workspace uses.
func (c *Client) DeleteTemplate(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, nil, nil, owned("templates", name)...)
}

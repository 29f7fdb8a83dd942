package sdk

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// List is one page of a collection.
type List[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor,omitempty" doc:"What to ask the next page with; none follows if it is not there"`
}

// pageSize is how many items are asked for at once: the most that there may be.
const pageSize = 500

// ListOptions say which part of a list is wanted. The zero value is all of it.
type ListOptions struct {
	// Query filters: "status:running name:dev". Each list has keys of its own.
	Query string
	// PageSize is how many items are asked for at once; zero is 500.
	PageSize int
}

// each yields the items of a list, page by page: whoever stops early asks for no
// more. The first error ends it. The elements of path are those of [Client.do].
func each[T any](ctx context.Context, c *Client, o ListOptions, query url.Values, path ...string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		v := url.Values{"limit": {strconv.Itoa(pageSize)}}
		for key, values := range query {
			v[key] = values
		}
		if o.PageSize > 0 {
			v.Set("limit", strconv.Itoa(o.PageSize))
		}
		if o.Query != "" {
			v.Set("q", o.Query)
		}
		for {
			var page List[T]
			if err := c.do(ctx, http.MethodGet, &page, nil, withQuery(path, v)...); err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.NextCursor == "" {
				return
			}
			v.Set("cursor", page.NextCursor)
		}
	}
}

// withQuery adds to the query of a path.
func withQuery(path []string, v url.Values) []string {
	sep := "?"
	if strings.Contains(path[0], "?") {
		sep = "&"
	}
	return append([]string{path[0] + sep + v.Encode()}, path[1:]...)
}

// collect makes a slice of what is yielded, never nil unless there is an error.
func collect[T any](items iter.Seq2[T, error]) ([]T, error) {
	list := []T{}
	for item, err := range items {
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, nil
}

// EachWorkspace yields one's own workspaces or, for owner "all", everybody's.
func (c *Client) EachWorkspace(ctx context.Context, owner string, o ListOptions) iter.Seq2[Workspace, error] {
	return each[Workspace](ctx, c, o, url.Values{"owner": {owner}}, "workspaces")
}

// Workspaces lists one's own workspaces or, for owner "all", everybody's.
func (c *Client) Workspaces(ctx context.Context, owner string) ([]Workspace, error) {
	return collect(c.EachWorkspace(ctx, owner, ListOptions{}))
}

// EachConnection yields who is linked to a workspace's agents, and by which path.
func (c *Client) EachConnection(ctx context.Context, owner, name string, o ListOptions) iter.Seq2[Connection, error] {
	return each[Connection](ctx, c, o, nil, "workspaces", owner, name, "connections")
}

// Connections lists who is linked to a workspace's agents, and by which path.
func (c *Client) Connections(ctx context.Context, owner, name string) ([]Connection, error) {
	return collect(c.EachConnection(ctx, owner, name, ListOptions{}))
}

// EachBuild yields a workspace's builds, the newest first.
func (c *Client) EachBuild(ctx context.Context, owner, name string, o ListOptions) iter.Seq2[Build, error] {
	return each[Build](ctx, c, o, nil, "workspaces", owner, name, "builds")
}

// Builds lists a workspace's builds, the newest first.
func (c *Client) Builds(ctx context.Context, owner, name string) ([]Build, error) {
	return collect(c.EachBuild(ctx, owner, name, ListOptions{}))
}

// EachTemplate yields the templates by name.
func (c *Client) EachTemplate(ctx context.Context, o ListOptions) iter.Seq2[Template, error] {
	return each[Template](ctx, c, o, nil, "templates")
}

// Templates lists the templates by name.
func (c *Client) Templates(ctx context.Context) ([]Template, error) {
	return collect(c.EachTemplate(ctx, ListOptions{}))
}

// EachTemplateVersion yields a template's versions, the newest first.
func (c *Client) EachTemplateVersion(ctx context.Context, name string, o ListOptions) iter.Seq2[TemplateVersion, error] {
	return each[TemplateVersion](ctx, c, o, nil, owned("templates", name, "versions")...)
}

// TemplateVersions lists a template's versions, the newest first.
func (c *Client) TemplateVersions(ctx context.Context, name string) ([]TemplateVersion, error) {
	return collect(c.EachTemplateVersion(ctx, name, ListOptions{}))
}

// EachToken yields one's API tokens, the oldest first.
func (c *Client) EachToken(ctx context.Context, o ListOptions) iter.Seq2[Token, error] {
	return each[Token](ctx, c, o, nil, "tokens")
}

// Tokens lists one's API tokens, the oldest first.
func (c *Client) Tokens(ctx context.Context) ([]Token, error) {
	return collect(c.EachToken(ctx, ListOptions{}))
}

// EachProvisioner yields those that were connected lately.
func (c *Client) EachProvisioner(ctx context.Context, o ListOptions) iter.Seq2[Provisioner, error] {
	return each[Provisioner](ctx, c, o, nil, "provisioners")
}

// Provisioners lists those that were connected lately.
func (c *Client) Provisioners(ctx context.Context) ([]Provisioner, error) {
	return collect(c.EachProvisioner(ctx, ListOptions{}))
}

// EachProvisionerJob yields the jobs of provisioners, the newest first.
func (c *Client) EachProvisionerJob(ctx context.Context, o ListOptions) iter.Seq2[ProvisionerJob, error] {
	return each[ProvisionerJob](ctx, c, o, nil, "provisioner-jobs")
}

// EachProvisionerKey yields the keys by name.
func (c *Client) EachProvisionerKey(ctx context.Context, o ListOptions) iter.Seq2[ProvisionerKey, error] {
	return each[ProvisionerKey](ctx, c, o, nil, "provisioner-keys")
}

// ProvisionerKeys lists the keys by name.
func (c *Client) ProvisionerKeys(ctx context.Context) ([]ProvisionerKey, error) {
	return collect(c.EachProvisionerKey(ctx, ListOptions{}))
}

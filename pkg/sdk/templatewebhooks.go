package sdk

import (
	"context"
	"net/http"
	"time"
)

// CreateTemplateWebhook has a template follow a branch of a git repository.
type CreateTemplateWebhook struct {
	Repository string `json:"repository" minLength:"1" maxLength:"1000" example:"https://git.example.com/templates.git" doc:"URL of the repository: https, or http on a network of one's own"`
	Branch     string `json:"branch" minLength:"1" maxLength:"200" example:"main" doc:"Pushes to it make versions"`
	Directory  string `json:"directory,omitempty" maxLength:"500" example:"process" doc:"Where the template's files are in the repository; its top unless set"`
	Promote    bool   `json:"promote,omitempty" doc:"Make a version the active one when its import and Terraform's own tests succeed"`
}

// TemplateWebhook is which branch a template follows, and what came of it.
type TemplateWebhook struct {
	ID         string     `json:"id"`
	URL        string     `json:"url" doc:"Where the forge is to post, as JSON, when somebody has pushed"`
	Repository string     `json:"repository"`
	Branch     string     `json:"branch"`
	Directory  string     `json:"directory"`
	Promote    bool       `json:"promote"`
	CreatedBy  string     `json:"created_by" doc:"User name of whose rights and credentials it has"`
	CreatedAt  time.Time  `json:"created_at"`
	PushedAt   *time.Time `json:"pushed_at" doc:"When a push was last told of; null if none was"`
	FetchedAt  *time.Time `json:"fetched_at" doc:"When it was last fetched, or tried to be"`
	NextAt     *time.Time `json:"next_at" doc:"When it is fetched next; null when there is nothing to fetch"`
	Commit     string     `json:"commit,omitempty" doc:"What was fetched last"`
	Problem    string     `json:"problem,omitempty" doc:"Why nothing could be fetched"`
}

// CreatedTemplateWebhook is a new one; its secret is shown this once.
type CreatedTemplateWebhook struct {
	TemplateWebhook
	Secret string `json:"secret" doc:"What the forge signs with, or shows as its token"`
}

// Pushed is what is read of what a forge posts.
type Pushed struct {
	Ref     string `json:"ref,omitempty" example:"refs/heads/main"`
	After   string `json:"after,omitempty" doc:"The commit that is there now"`
	Deleted bool   `json:"deleted,omitempty"`

	_ struct{} `additionalProperties:"true"`
}

// PushTaken is what came of a post: whether it will be fetched, and why not.
type PushTaken struct {
	Taken  bool   `json:"taken"`
	Reason string `json:"reason,omitempty"`
}

// CreateTemplateWebhook has a template follow a branch.
func (c *Client) CreateTemplateWebhook(ctx context.Context, template string, req CreateTemplateWebhook) (w CreatedTemplateWebhook, err error) {
	err = c.do(ctx, http.MethodPost, &w, req, owned("templates", template, "webhook")...)
	return w, err
}

// TemplateWebhook returns which branch a template follows; ErrNotFound if it follows
// none. For those who may change the template.
func (c *Client) TemplateWebhook(ctx context.Context, template string) (w TemplateWebhook, err error) {
	err = c.do(ctx, http.MethodGet, &w, nil, owned("templates", template, "webhook")...)
	return w, err
}

// DeleteTemplateWebhook has a template follow nothing any more.
func (c *Client) DeleteTemplateWebhook(ctx context.Context, template string) error {
	return c.do(ctx, http.MethodDelete, nil, nil, owned("templates", template, "webhook")...)
}

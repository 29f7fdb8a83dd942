package sdk

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Repository is one that an agent clones when it starts for the first time.
type Repository struct {
	URL         string `json:"url"`
	Ref         string `json:"ref,omitempty" doc:"A branch, a tag or a commit; what the server says if empty"`
	Directory   string `json:"directory,omitempty" doc:"Below the home directory unless it is absolute; called as the repository if empty"`
	Depth       int    `json:"depth,omitempty" doc:"How many commits; zero is all"`
	Submodules  bool   `json:"submodules,omitempty"`
	IgnoreTasks bool   `json:"ignore_tasks,omitempty" doc:"Do not run what its .gitpod.yml or devfile.yaml says"`
}

// Dotfiles is the repository that makes a user's workspaces theirs.
type Dotfiles struct {
	URL string `json:"url" maxLength:"2048" example:"https://github.com/alice/dotfiles" doc:"Of a git repository; empty is none"`
	Ref string `json:"ref,omitempty" maxLength:"255" doc:"A branch or a tag; what the server says if empty"`
}

// GitCredential is what a user's agents show to git servers of an origin. The
// password is for them alone.
type GitCredential struct {
	Origin    string     `json:"origin" doc:"SCHEME://HOST"`
	Username  string     `json:"username"`
	CreatedAt time.Time  `json:"created_at"`
	UsedAt    *time.Time `json:"used_at" doc:"When an agent asked for it last, to the minute"`
}

// SetGitCredential asks to keep a credential.
type SetGitCredential struct {
	Origin   string `json:"origin" maxLength:"300" example:"https://github.com" doc:"SCHEME://HOST of the server"`
	Username string `json:"username" minLength:"1" maxLength:"200"`
	Password string `json:"password" minLength:"1" maxLength:"4096" doc:"Better a token of the server's, for as little as will do"`
}

// GitQuery asks for a credential.
type GitQuery struct {
	Origin string `json:"origin" maxLength:"300" example:"https://github.com"`
}

// GitSecret is what to show to a git server.
type GitSecret struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// GitCredentials lists the caller's.
func (c *Client) GitCredentials(ctx context.Context) ([]GitCredential, error) {
	return collect(each[GitCredential](ctx, c, ListOptions{}, nil, "users", "me", "git-credentials"))
}

// SetGitCredential keeps one in the place of what there was for its origin.
func (c *Client) SetGitCredential(ctx context.Context, s SetGitCredential) error {
	return c.do(ctx, http.MethodPut, nil, s, "users", "me", "git-credentials")
}

// DeleteGitCredential forgets the one for an origin.
func (c *Client) DeleteGitCredential(ctx context.Context, origin string) error {
	return c.do(ctx, http.MethodDelete, nil, nil, "users?"+url.Values{"origin": {origin}}.Encode(), "me", "git-credentials")
}

// AgentGitCredential returns what the owner of the agent's workspace keeps for an
// origin; the client's token is the agent's.
func (c *Client) AgentGitCredential(ctx context.Context, origin string) (s GitSecret, err error) {
	err = c.do(ctx, http.MethodPost, &s, GitQuery{origin}, "agent", "git-credential")
	return s, err
}

// Dotfiles says where the caller's are.
func (c *Client) Dotfiles(ctx context.Context) (d Dotfiles, err error) {
	err = c.do(ctx, http.MethodGet, &d, nil, "users", "me", "dotfiles")
	return d, err
}

// SetDotfiles says where they are from now on.
func (c *Client) SetDotfiles(ctx context.Context, d Dotfiles) error {
	return c.do(ctx, http.MethodPut, nil, d, "users", "me", "dotfiles")
}

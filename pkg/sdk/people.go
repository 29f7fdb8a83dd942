package sdk

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// CreateUser asks for a user. Without a password they sign in by a provider.
type CreateUser struct {
	Username string `json:"username" minLength:"1" maxLength:"32" pattern:"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" patternDescription:"a DNS label of lower-case letters, digits and hyphens"`
	Email    string `json:"email" format:"email" maxLength:"254"`
	Password string `json:"password,omitempty" minLength:"8" maxLength:"512"`
	Role     string `json:"role,omitempty" enum:"owner,template-admin,user-admin,auditor,member"`
}

// ChangeUser changes what is set of a user.
type ChangeUser struct {
	Email     *string `json:"email,omitempty" format:"email" maxLength:"254"`
	Role      *string `json:"role,omitempty" enum:"owner,template-admin,user-admin,auditor,member"`
	Suspended *bool   `json:"suspended,omitempty" doc:"Whether they are kept out, with all they have open"`
}

// ChangePassword sets a password. Whoever sets their own gives the old one, too.
type ChangePassword struct {
	Old      string `json:"old_password,omitempty" maxLength:"512"`
	Password string `json:"password" minLength:"8" maxLength:"512"`
}

// Organization is what templates, workspaces, groups and provisioner keys belong
// to.
type Organization struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Default   bool      `json:"default" doc:"The one that every deployment has"`
	CreatedAt time.Time `json:"created_at"`
}

// NameOrganization asks for an organization, or for another name of one.
type NameOrganization struct {
	Name string `json:"name" minLength:"1" maxLength:"32" pattern:"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" patternDescription:"a label of lower-case letters, digits and hyphens"`
}

// Member is a user in an organization.
type Member struct {
	Username string    `json:"username"`
	Role     string    `json:"role" doc:"In the organization"`
	Since    time.Time `json:"since"`
}

// SetMember says what a member of an organization is in it.
type SetMember struct {
	Role string `json:"role" enum:"owner,template-admin,user-admin,auditor,member"`
}

// Group is some members of an organization.
type Group struct {
	ID           string    `json:"id"`
	Organization string    `json:"organization"`
	Name         string    `json:"name"`
	Members      int       `json:"members" doc:"How many there are"`
	CreatedAt    time.Time `json:"created_at"`
}

// GroupMember is a user in a group.
type GroupMember struct {
	Username string `json:"username"`
	// Managers are none where people put somebody.
	Managers []string `json:"managers,omitempty" doc:"Providers whose word put them there, and takes them away; empty text is one of before this was noted"`
}

// CreateGroup asks for a group.
type CreateGroup struct {
	Name         string `json:"name" minLength:"1" maxLength:"64" pattern:"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" patternDescription:"a label of lower-case letters, digits and hyphens"`
	Organization string `json:"organization,omitempty" maxLength:"64" doc:"The default one unless set"`
}

// Users lists the users that one may see.
func (c *Client) Users(ctx context.Context) ([]User, error) {
	return collect(each[User](ctx, c, ListOptions{}, nil, "users"))
}

// User returns one user; "me" is oneself.
func (c *Client) User(ctx context.Context, name string) (u User, err error) {
	err = c.do(ctx, http.MethodGet, &u, nil, "users", name)
	return u, err
}

// CreateUser makes a user.
func (c *Client) CreateUser(ctx context.Context, req CreateUser) (u User, err error) {
	err = c.do(ctx, http.MethodPost, &u, req, "users")
	return u, err
}

// ChangeUser changes a user.
func (c *Client) ChangeUser(ctx context.Context, name string, req ChangeUser) (u User, err error) {
	err = c.do(ctx, http.MethodPatch, &u, req, "users", name)
	return u, err
}

// ChangePassword sets a user's password and ends whatever else they have open.
func (c *Client) ChangePassword(ctx context.Context, name string, req ChangePassword) error {
	return c.do(ctx, http.MethodPut, nil, req, "users", name, "password")
}

// DeleteUser deletes a user.
func (c *Client) DeleteUser(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, nil, nil, "users", name)
}

// UserTokens lists somebody's API tokens.
func (c *Client) UserTokens(ctx context.Context, name string) ([]Token, error) {
	return collect(each[Token](ctx, c, ListOptions{}, url.Values{"user": {name}}, "tokens"))
}

// Organizations lists the organizations that one may see.
func (c *Client) Organizations(ctx context.Context) ([]Organization, error) {
	return collect(each[Organization](ctx, c, ListOptions{}, nil, "organizations"))
}

// CreateOrganization makes an organization, whose owner one is.
func (c *Client) CreateOrganization(ctx context.Context, name string) (o Organization, err error) {
	err = c.do(ctx, http.MethodPost, &o, NameOrganization{Name: name}, "organizations")
	return o, err
}

// Organization returns one organization.
func (c *Client) Organization(ctx context.Context, name string) (o Organization, err error) {
	err = c.do(ctx, http.MethodGet, &o, nil, "organizations", name)
	return o, err
}

// RenameOrganization gives an organization another name.
func (c *Client) RenameOrganization(ctx context.Context, name, to string) (o Organization, err error) {
	err = c.do(ctx, http.MethodPatch, &o, NameOrganization{Name: to}, "organizations", name)
	return o, err
}

// DeleteOrganization deletes an organization that has nothing left in it.
func (c *Client) DeleteOrganization(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, nil, nil, "organizations", name)
}

// Members lists the members of an organization.
func (c *Client) Members(ctx context.Context, organization string) ([]Member, error) {
	return collect(each[Member](ctx, c, ListOptions{}, nil, "organizations", organization, "members"))
}

// Member returns what a user is in an organization.
func (c *Client) Member(ctx context.Context, organization, user string) (m Member, err error) {
	err = c.do(ctx, http.MethodGet, &m, nil, "organizations", organization, "members", user)
	return m, err
}

// SetMember makes a user a member of an organization, with a role in it.
func (c *Client) SetMember(ctx context.Context, organization, user, role string) error {
	return c.do(ctx, http.MethodPut, nil, SetMember{Role: role}, "organizations", organization, "members", user)
}

// RemoveMember takes a user out of an organization.
func (c *Client) RemoveMember(ctx context.Context, organization, user string) error {
	return c.do(ctx, http.MethodDelete, nil, nil, "organizations", organization, "members", user)
}

// Groups lists the groups that one may see.
func (c *Client) Groups(ctx context.Context) ([]Group, error) {
	return collect(each[Group](ctx, c, ListOptions{}, nil, "groups"))
}

// GroupMembers lists the members of a group.
func (c *Client) GroupMembers(ctx context.Context, organization, name string) ([]GroupMember, error) {
	return collect(each[GroupMember](ctx, c, ListOptions{}, nil, "organizations", organization, "groups", name, "members"))
}

// Group returns a group.
func (c *Client) Group(ctx context.Context, organization, name string) (g Group, err error) {
	err = c.do(ctx, http.MethodGet, &g, nil, "organizations", organization, "groups", name)
	return g, err
}

// CreateGroup makes a group.
func (c *Client) CreateGroup(ctx context.Context, req CreateGroup) (g Group, err error) {
	err = c.do(ctx, http.MethodPost, &g, req, "groups")
	return g, err
}

// DeleteGroup deletes a group; its members stay.
func (c *Client) DeleteGroup(ctx context.Context, organization, name string) error {
	return c.do(ctx, http.MethodDelete, nil, nil, "organizations", organization, "groups", name)
}

// AddToGroup puts a user into a group.
func (c *Client) AddToGroup(ctx context.Context, organization, name, user string) error {
	return c.do(ctx, http.MethodPut, nil, nil, "organizations", organization, "groups", name, "members", user)
}

// RemoveFromGroup takes a user out of a group.
func (c *Client) RemoveFromGroup(ctx context.Context, organization, name, user string) error {
	return c.do(ctx, http.MethodDelete, nil, nil, "organizations", organization, "groups", name, "members", user)
}

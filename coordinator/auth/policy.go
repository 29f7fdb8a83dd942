package auth

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
)

// Resource is a kind of thing that actions are on.
type Resource string

const (
	// Account is a user who is a member and no more; AdminAccount is one with
	// any other role. Whoever may change the second could become them.
	Account      Resource = "account"
	AdminAccount Resource = "admin-account"
	Token        Resource = "token"
	Group        Resource = "group"
	Organization Resource = "organization"
	// Membership is a member of an organization who is that and no more there.
	// Other roles in it are a change of the organization.
	Membership Resource = "membership"
	Workspace  Resource = "workspace"
	// State is the Terraform state of a workspace, which is full of secrets.
	State    Resource = "state"
	Template Resource = "template"
	// TemplateSource is a template's files, and what its imports say of them.
	TemplateSource Resource = "template-source"
	// Provisioners are those and the keys that they join with.
	Provisioners Resource = "provisioner"
	// Relays are the regional ones.
	Relays  Resource = "relay"
	Audit   Resource = "audit"
	Webhook Resource = "webhook"
	// Deployment is its settings, its health and its numbers.
	Deployment Resource = "deployment"
)

// Resources are all kinds there are.
var Resources = []Resource{
	Account, AdminAccount, Token, Group, Organization, Membership, Workspace, State,
	Template, TemplateSource, Provisioners, Relays, Audit, Webhook, Deployment,
}

// Action is what somebody would do.
type Action string

const (
	// List is to see everybody's; what is listed of one's own is read.
	List   Action = "list"
	Read   Action = "read"
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
	// Use is to make workspaces of a template.
	Use Action = "use"
	// Operate is to start and stop a workspace.
	Operate Action = "operate"
	// Connect is to reach a workspace's agents, OpenApps to open what they serve.
	Connect  Action = "connect"
	OpenApps Action = "open-apps"
	// Share is to let others in, and Transfer to make it somebody else's.
	Share    Action = "share"
	Transfer Action = "transfer"
)

// Actions are all there are.
var Actions = []Action{List, Read, Create, Update, Delete, Use, Operate, Connect, OpenApps, Share, Transfer}

// Grant is what a workspace's owner lets somebody do with it.
type Grant string

const (
	NoGrant      Grant = ""
	GrantConnect Grant = "connect"
	GrantApps    Grant = "apps"
	GrantAdmin   Grant = "admin"
)

// Object is what an action is on.
type Object struct {
	Type Resource
	// Instance is set if it is one thing, whose existence is no matter of course.
	// Unset it is all things of the type, or one yet to be made.
	Instance bool
	// Owner is whose it is, and Organization where it belongs; zero if that is
	// nobody's and nowhere.
	Owner, Organization uuid.UUID
	// ID and Name are which one it is, for the audit log; zero if it is no one thing,
	// or is not known. Nothing is allowed by them.
	ID   uuid.UUID
	Name string
	// Grant is what sharing gives the caller.
	Grant Grant
	// Agent is the caller if it is the agent of this workspace; zero of all others.
	Agent uuid.UUID
}

// reach is how far a rule goes.
type reach uint8

const (
	// own is what is the caller's, in organizations that they are in.
	own reach = iota + 1
	// within is what belongs to an organization that the caller is in.
	within
	// all is everything; for a role that is held in an organization, all that
	// belongs there.
	all
)

type rule struct {
	role     store.Role
	resource Resource
	reach    reach
	actions  []Action
}

// rules is all that anybody may do. What is not here is denied. Everybody is a
// member besides any other role.
var rules = []rule{
	{store.RoleOwner, Account, all, []Action{List, Read, Create, Update, Delete}},
	{store.RoleOwner, AdminAccount, all, []Action{List, Read, Create, Update, Delete}},
	{store.RoleOwner, Token, all, []Action{List, Read, Delete}},
	{store.RoleOwner, Group, all, []Action{List, Read, Create, Update, Delete}},
	{store.RoleOwner, Organization, all, []Action{List, Read, Create, Update, Delete}},
	{store.RoleOwner, Membership, all, []Action{List, Read, Create, Delete}},
	// Not read: what is somebody else's does not exist, until they share it or
	// it is transferred.
	{store.RoleOwner, Workspace, all, []Action{List, Transfer}},
	{store.RoleOwner, State, all, []Action{Read, Update}},
	{store.RoleOwner, Template, all, []Action{List, Read, Create, Update, Delete, Use}},
	{store.RoleOwner, TemplateSource, all, []Action{Read}},
	{store.RoleOwner, Provisioners, all, []Action{List, Read, Create, Update, Delete}},
	{store.RoleOwner, Relays, all, []Action{List, Read, Create, Update, Delete}},
	{store.RoleOwner, Audit, all, []Action{List, Read}},
	{store.RoleOwner, Webhook, all, []Action{List, Read, Create, Update, Delete}},
	{store.RoleOwner, Deployment, all, []Action{Read, Update}},

	{store.RoleTemplateAdmin, Template, all, []Action{List, Read, Create, Update, Delete, Use}},
	{store.RoleTemplateAdmin, TemplateSource, all, []Action{Read}},
	{store.RoleTemplateAdmin, Provisioners, all, []Action{List, Read}},

	{store.RoleUserAdmin, Account, all, []Action{List, Read, Create, Update, Delete}},
	{store.RoleUserAdmin, AdminAccount, all, []Action{List, Read}},
	{store.RoleUserAdmin, Group, all, []Action{List, Read, Create, Update, Delete}},
	{store.RoleUserAdmin, Organization, all, []Action{List, Read}},
	{store.RoleUserAdmin, Membership, all, []Action{List, Read, Create, Delete}},

	{store.RoleAuditor, Account, all, []Action{List, Read}},
	{store.RoleAuditor, AdminAccount, all, []Action{List, Read}},
	{store.RoleAuditor, Group, all, []Action{List, Read}},
	{store.RoleAuditor, Organization, all, []Action{List, Read}},
	{store.RoleAuditor, Membership, all, []Action{List, Read}},
	{store.RoleAuditor, Workspace, all, []Action{List}},
	{store.RoleAuditor, Template, all, []Action{List, Read}},
	{store.RoleAuditor, Provisioners, all, []Action{List, Read}},
	{store.RoleAuditor, Relays, all, []Action{List, Read}},
	{store.RoleAuditor, Audit, all, []Action{List, Read}},
	{store.RoleAuditor, Webhook, all, []Action{List, Read}},
	{store.RoleAuditor, Deployment, all, []Action{Read}},

	{store.RoleMember, Account, own, []Action{Read, Update}},
	{store.RoleMember, AdminAccount, own, []Action{Read, Update}},
	{store.RoleMember, Token, own, []Action{Read, Create, Delete}},
	{store.RoleMember, Group, within, []Action{Read}},
	{store.RoleMember, Organization, within, []Action{Read}},
	{store.RoleMember, Membership, within, []Action{Read}},
	{store.RoleMember, Workspace, own, []Action{Read, Create, Update, Delete, Operate, Connect, OpenApps, Share, Transfer}},
	{store.RoleMember, Template, within, []Action{Read, Use}},
}

// grants is what sharing allows, of a workspace.
var grants = map[Grant][]Action{
	GrantApps:    {Read, OpenApps},
	GrantConnect: {Read, OpenApps, Connect},
	GrantAdmin:   {Read, OpenApps, Connect, Operate, Update},
}

// ownWorkspace is what an agent may do with the workspace that it is in, for
// programs there: stop it and put its stop off, and see how it is. It may do nothing
// else with anything by its token, but for what is an agent's alone to do.
var ownWorkspace = []Action{Read, Operate}

// Allowed reports whether somebody may do something. It is the only place that
// says so; whatever is not allowed here is denied. What else agents and provisioners
// may do is said by the operations that are theirs.
func Allowed(who Identity, action Action, on Object) bool {
	if who.Kind == Agent {
		return on.Type == Workspace && on.Agent != uuid.Nil && on.Agent == who.AgentID && slices.Contains(ownWorkspace, action)
	}
	if who.Kind != User || !who.Scopes.cover(on.Type, action) {
		return false
	}
	if on.Type == Workspace && slices.Contains(grants[on.Grant], action) {
		return true
	}
	return slices.ContainsFunc(rules, func(r rule) bool {
		return r.resource == on.Type && slices.Contains(r.actions, action) && who.reaches(r, on)
	})
}

// reaches reports whether a rule is for somebody and goes as far as an object.
func (who Identity) reaches(r rule, on Object) bool {
	_, isIn := who.Organizations[on.Organization]
	switch r.reach {
	case own:
		return on.Owner == who.UserID && (isIn || on.Organization == uuid.Nil)
	case within:
		return isIn
	case all:
		return who.Role == r.role || isIn && who.Organizations[on.Organization] == r.role
	}
	return false
}

// Holders returns the roles that may do something with anybody's, as people
// say it: "owners and template admins".
func Holders(action Action, resource Resource) string {
	var names []string
	for _, r := range rules {
		if r.reach == all && r.resource == resource && slices.Contains(r.actions, action) {
			names = append(names, strings.ReplaceAll(string(r.role), "-", " ")+"s")
		}
	}
	switch len(names) {
	case 0:
		return "nobody"
	case 1:
		return "only " + names[0]
	}
	last := len(names) - 1
	return "only " + strings.Join(names[:last], ", ") + " and " + names[last]
}

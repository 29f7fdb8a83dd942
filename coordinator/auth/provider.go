package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/aditmesh/adit/coordinator/store"
)

// Provider is somebody else who says who people are.
type Provider interface {
	// Name is what the provider is called in paths, Title what people read.
	Name() string
	Title() string
	// Issuer is whose subjects its people are.
	Issuer() string
	// Begin returns where to send a browser, which is to come back to redirect.
	Begin(ctx context.Context, redirect string, f Flow) (string, error)
	// Finish turns what the browser came back with into a person.
	Finish(ctx context.Context, redirect, code string, f Flow) (Person, error)
	// Rules say whom to let in.
	Rules() Rules
	// Check asks the provider whether what is known of it holds, and whether it
	// knows us, as far as it tells without anybody signing in.
	Check(ctx context.Context) error
}

// Flow is what ties the end of a sign-in to its beginning, in one browser: the
// state keeps others from ending it, the nonce others' answers from being used,
// and the verifier a code that leaked from being worth anything.
type Flow struct {
	State, Nonce, Verifier string
}

// NewFlow begins a sign-in.
func NewFlow() Flow {
	return Flow{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier()}
}

// Person is somebody as a provider knows them.
type Person struct {
	// Provider is the name of whose word this is: groups are each provider's own.
	Provider string
	// Issuer and Subject are whom the provider means, now and for ever. Names
	// and addresses pass on to others.
	Issuer, Subject string
	Username        string // what they would like to be called
	Email           string
	EmailVerified   bool
	// Groups are theirs if the provider manages groups, and Role if it manages
	// roles; nil and empty if not.
	Groups []string
	Role   store.Role
}

// Rules say which of a provider's people may come in. The zero value is the
// strictest: only those who were linked to it.
type Rules struct {
	// SignUps lets those in who have no account yet, by making one.
	SignUps bool
	// AllowUnverified makes accounts for those whose address the provider has not
	// verified. They are never linked to one that exists.
	AllowUnverified bool
	// LinkByEmail links those whose verified address is that of an account. The
	// provider's word on addresses then is as good as a password.
	LinkByEmail bool
	// EmailDomains are whose addresses may come in; none is all.
	EmailDomains []string
}

// Refused is why somebody whom a provider knows does not come in.
type Refused struct{ Why string }

func (e *Refused) Error() string { return e.Why }

// maxNames is how many names are tried for an account before giving up.
const maxNames = 50

// SignInWith returns the account of a person whom a provider knows, or makes
// one. The error is a *Refused if the rules keep them out.
//
// An account is recognized by the provider's subject. An address leads to one
// only if the rules say so, if the provider has verified it, and if the account
// is no administrator's and not another subject's of that provider: otherwise
// whoever gets hold of an address, or of a provider's word, would take the
// account over.
func (a *Authenticator) SignInWith(ctx context.Context, p Person, rules Rules) (store.User, error) {
	if p.Issuer == "" || p.Subject == "" {
		return store.User{}, &Refused{"the provider does not say who you are"}
	}
	u, err := a.store.UserByIdentity(ctx, p.Issuer, p.Subject)
	if errors.Is(err, store.ErrNotFound) {
		u, err = a.newcomer(ctx, p, rules)
	}
	var refused *Refused
	switch {
	case errors.As(err, &refused):
		return store.User{}, err
	case err != nil:
		return store.User{}, fmt.Errorf("auth: %w", err)
	case u.SuspendedAt != nil:
		return store.User{}, ErrSuspended
	}
	return a.follow(ctx, u, p)
}

// newcomer finds or makes an account for somebody who has not come this way
// before.
func (a *Authenticator) newcomer(ctx context.Context, p Person, rules Rules) (store.User, error) {
	switch {
	case p.Email == "":
		return store.User{}, &Refused{"the provider does not tell your e-mail address"}
	case len(p.Email) > 254 || !address.MatchString(p.Email):
		return store.User{}, &Refused{"the e-mail address that the provider tells is none"}
	case !p.EmailVerified && !rules.AllowUnverified:
		return store.User{}, &Refused{"the provider has not verified your e-mail address"}
	case !rules.admits(p.Email):
		return store.User{}, &Refused{"addresses of that domain may not sign in here"}
	}
	u, err := a.store.UserByEmail(ctx, p.Email)
	switch {
	case err == nil:
		if !rules.LinkByEmail || !p.EmailVerified || u.Role != store.RoleMember {
			return store.User{}, &Refused{"there is an account with your address already; sign in to it as you did before, and link this provider to it there"}
		}
		err = a.store.AddIdentity(ctx, u.ID, p.Issuer, p.Subject)
		if errors.Is(err, store.ErrConflict) {
			return store.User{}, &Refused{"the account with your address belongs to somebody else of this provider"}
		}
		return u, err
	case !errors.Is(err, store.ErrNotFound):
		return store.User{}, err
	case !rules.SignUps:
		return store.User{}, &Refused{"you have no account here; ask an administrator for one"}
	}
	if has, err := a.store.HasUsers(ctx); err != nil {
		return store.User{}, err
	} else if !has {
		return store.User{}, &Refused{"this deployment has no owner yet; the first user is made with 'adit login URL --first-user'"}
	}
	name := accountName(p)
	for i := range maxNames {
		n := store.NewUser{Username: name, Email: p.Email, Role: store.RoleMember}
		if i > 0 {
			n.Username = fmt.Sprintf("%s-%d", name[:min(len(name), 28)], i+1)
		}
		if u, err = a.store.CreateUserOfIdentity(ctx, n, p.Issuer, p.Subject); !errors.Is(err, store.ErrConflict) {
			return u, err
		}
		// It may be the name; or this very person, who was quicker in another
		// window.
		if u, err := a.store.UserByIdentity(ctx, p.Issuer, p.Subject); !errors.Is(err, store.ErrNotFound) {
			return u, err
		}
		if _, err := a.store.UserByEmail(ctx, p.Email); !errors.Is(err, store.ErrNotFound) {
			return store.User{}, &Refused{"there is an account with your address already"}
		}
	}
	return store.User{}, &Refused{"every name like yours is taken; ask an administrator for an account"}
}

// Link notes that a provider knows a user, who has just signed in there, too.
func (a *Authenticator) Link(ctx context.Context, u store.User, p Person) error {
	if p.Issuer == "" || p.Subject == "" {
		return &Refused{"the provider does not say who you are"}
	}
	err := a.store.AddIdentity(ctx, u.ID, p.Issuer, p.Subject)
	if errors.Is(err, store.ErrConflict) {
		return &Refused{"you are linked to this provider already, or somebody else is linked to whom it says you are"}
	}
	return err
}

// follow makes a user what the provider says they are, where it does say.
func (a *Authenticator) follow(ctx context.Context, u store.User, p Person) (store.User, error) {
	if p.Groups != nil {
		var names []string
		for _, g := range p.Groups {
			names = append(names, strings.ToLower(g))
		}
		if err := a.store.SetManagedGroups(ctx, u.ID, p.Provider, names); err != nil {
			return u, fmt.Errorf("auth: %w", err)
		}
	}
	if p.Role == "" || p.Role == u.Role {
		return u, nil
	}
	changed, err := a.store.ChangeUser(ctx, u.ID, func(now *store.User) error {
		now.Role = p.Role
		return nil
	})
	if errors.Is(err, store.ErrLastOwner) {
		return u, nil // somebody has to be
	}
	if err != nil {
		return u, fmt.Errorf("auth: %w", err)
	}
	return changed, nil
}

func (r Rules) admits(email string) bool {
	_, domain, _ := strings.Cut(email, "@")
	return len(r.EmailDomains) == 0 || slices.ContainsFunc(r.EmailDomains, func(d string) bool { return strings.EqualFold(d, domain) })
}

// address is what an address looks like, in one line: one @ and nothing that
// would be more than an address somewhere else.
var address = regexp.MustCompile(`^[^\s@<>"(),:;\\\x00-\x1f\x7f]+@[^\s@<>"(),:;\\\x00-\x1f\x7f]+$`)

var notLabel = regexp.MustCompile(`[^a-z0-9]+`)

// accountName makes a user name of what a person would like to be called.
func accountName(p Person) string {
	for _, wish := range []string{p.Username, p.Email} {
		wish, _, _ = strings.Cut(wish, "@")
		name := notLabel.ReplaceAllString(strings.ToLower(wish), "-")
		name = strings.Trim(name[:min(len(name), 32)], "-")
		if name != "" && name != "me" && name != "first" {
			return name
		}
	}
	return "user"
}

// widest returns the widest of some roles; member if there is none.
func widest(roles []store.Role) store.Role {
	for _, r := range store.Roles {
		if slices.Contains(roles, r) {
			return r
		}
	}
	return store.RoleMember
}

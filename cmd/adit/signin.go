//go:build !slim

package main

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/aditmesh/adit/coordinator"
	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/breaker"
	"github.com/aditmesh/adit/coordinator/store"
)

// providerTimeout bounds one question to a provider: people wait for it.
const providerTimeout = 10 * time.Second

// signInFlags are how people sign in.
type signInFlags struct {
	maxTokenLifetime time.Duration
	trustedProxies   []string

	oidc             auth.OIDCConfig
	oidcScopes       []string
	oidcGroupMapping map[string]string
	oidcRoleMapping  map[string]string

	github          auth.GitHubConfig
	githubURL       string
	githubEverybody bool
}

func (f *signInFlags) add(flags *pflag.FlagSet) {
	flags.DurationVar(&f.maxTokenLifetime, "max-token-lifetime", 0, "how long API tokens and sessions may last (default: tokens for ever)")
	flags.StringSliceVar(&f.trustedProxies, "trusted-proxies", nil, "networks, such as 10.0.0.0/8, whose X-Forwarded-For says where a request comes from")

	o := &f.oidc
	flags.StringVar(&o.Issuer, "oidc-issuer", "", "URL of an OpenID Connect provider to sign in with")
	flags.StringVar(&o.ClientID, "oidc-client-id", "", "what the provider knows this deployment as")
	flags.StringVar(&o.ClientSecret, "oidc-client-secret", "", "its secret; better given as ADIT_OIDC_CLIENT_SECRET")
	flags.StringVar(&o.Label, "oidc-label", "OpenID Connect", "what people call the provider")
	flags.StringSliceVar(&f.oidcScopes, "oidc-scopes", []string{"profile", "email"}, "scopes to ask for beside openid")
	flags.StringVar(&o.UsernameClaim, "oidc-username-claim", "preferred_username", "claim that user names are made of")
	flags.StringVar(&o.GroupsClaim, "oidc-groups-claim", "", "claim with a person's groups, which then are the provider's to manage")
	flags.StringToStringVar(&f.oidcGroupMapping, "oidc-group-mapping", nil, "THEIRS=OURS for groups with other names here")
	flags.StringSliceVar(&o.AllowedGroups, "oidc-allowed-groups", nil, "groups, by the provider's names, that may sign in (default: everybody)")
	flags.StringVar(&o.RolesClaim, "oidc-roles-claim", "", "claim with a person's roles, which then are the provider's to manage")
	flags.StringToStringVar(&f.oidcRoleMapping, "oidc-role-mapping", nil, "THEIRS=ROLE for what the provider's roles are here")
	addRules(flags, "oidc", &o.LetIn)
	flags.BoolVar(&o.LetIn.AllowUnverified, "oidc-allow-unverified-email", false, "make accounts for addresses that the provider has not verified")

	g := &f.github
	flags.StringVar(&g.ClientID, "github-client-id", "", "id of an OAuth app at GitHub to sign in with")
	flags.StringVar(&g.ClientSecret, "github-client-secret", "", "its secret; better given as ADIT_GITHUB_CLIENT_SECRET")
	flags.StringSliceVar(&g.Organizations, "github-allowed-organizations", nil, "GitHub organizations whose members may sign in")
	flags.StringToStringVar(&g.Teams, "github-group-mapping", nil, "ORGANIZATION/TEAM=GROUP for the groups that GitHub manages then")
	flags.BoolVar(&f.githubEverybody, "github-allow-everybody", false, "let everybody with a GitHub account sign in")
	flags.StringVar(&f.githubURL, "github-url", "https://github.com", "GitHub, or an enterprise server")
	addRules(flags, "github", &g.LetIn)
}

// addRules adds the flags of whom to let in.
func addRules(flags *pflag.FlagSet, provider string, r *auth.Rules) {
	flags.BoolVar(&r.SignUps, provider+"-signups", true, "make accounts for those who have none yet")
	flags.BoolVar(&r.LinkByEmail, provider+"-link-by-email", false, "link members to their accounts by verified address: the provider's word is then as good as their password")
	flags.StringSliceVar(&r.EmailDomains, provider+"-email-domains", nil, "domains whose addresses may sign in (default: all)")
}

// configure checks the flags and fills in a coordinator's configuration.
func (f *signInFlags) configure(conf *coordinator.Config) error {
	if f.maxTokenLifetime < 0 || f.maxTokenLifetime > 0 && f.maxTokenLifetime < time.Minute {
		return usagef("--max-token-lifetime %v: want 1m or more", f.maxTokenLifetime)
	}
	for _, p := range f.trustedProxies {
		if _, err := netip.ParsePrefix(p); err != nil {
			return usagef("--trusted-proxies %q: want a network such as 10.0.0.0/8", p)
		}
	}
	conf.MaxTokenLifetime, conf.TrustedProxies = f.maxTokenLifetime, f.trustedProxies
	client := &http.Client{Timeout: providerTimeout, Transport: conf.Breakers.Transport(breaker.SignIn, http.DefaultTransport)}
	if f.oidc.Issuer != "" {
		p, err := f.oidcProvider(client)
		if err != nil {
			return err
		}
		conf.Providers = append(conf.Providers, p)
	}
	if f.github.ClientID != "" {
		p, err := f.githubProvider(client)
		if err != nil {
			return err
		}
		conf.Providers = append(conf.Providers, p)
	}
	return nil
}

func (f *signInFlags) oidcProvider(client *http.Client) (auth.Provider, error) {
	u, err := url.Parse(f.oidc.Issuer)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, usagef("--oidc-issuer %q: want a URL", f.oidc.Issuer)
	}
	if f.oidc.ClientID == "" {
		return nil, usagef("--oidc-issuer needs --oidc-client-id")
	}
	if len(f.oidc.AllowedGroups) > 0 && f.oidc.GroupsClaim == "" {
		return nil, usagef("--oidc-allowed-groups needs --oidc-groups-claim")
	}
	if (len(f.oidcRoleMapping) > 0) != (f.oidc.RolesClaim != "") {
		return nil, usagef("--oidc-roles-claim and --oidc-role-mapping go together")
	}
	f.oidc.Scopes, f.oidc.GroupMapping, f.oidc.RoleMapping = f.oidcScopes, f.oidcGroupMapping, make(map[string]store.Role)
	for theirs, ours := range f.oidcRoleMapping {
		if !slices.Contains(store.Roles, store.Role(ours)) {
			return nil, usagef("--oidc-role-mapping %s=%s: want %s", theirs, ours, roles)
		}
		f.oidc.RoleMapping[theirs] = store.Role(ours)
	}
	f.oidc.Client = client
	return auth.NewOIDC(f.oidc), nil
}

func (f *signInFlags) githubProvider(client *http.Client) (auth.Provider, error) {
	u, err := url.Parse(strings.TrimSuffix(f.githubURL, "/"))
	if err != nil || u.Host == "" {
		return nil, usagef("--github-url %q: want a URL", f.githubURL)
	}
	if (len(f.github.Organizations) > 0) == f.githubEverybody {
		return nil, usagef("--github-client-id needs --github-allowed-organizations, or --github-allow-everybody")
	}
	f.github.URL, f.github.Client = u, client
	return auth.NewGitHub(f.github), nil
}

package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/oauth2"

	"github.com/aditmesh/adit/pkg/foreign"
)

// GitHubConfig configures GitHub as a provider.
type GitHubConfig struct {
	ClientID, ClientSecret string
	// Organizations are whose members may come in; none is everybody.
	Organizations []string
	// Teams are the groups that the members of teams, "organization/team", are put
	// into; none is that GitHub manages no groups.
	Teams map[string]string
	// URL is GitHub's, or that of an enterprise server; nil is github.com.
	URL   *url.URL
	LetIn Rules
	// Client asks GitHub; nil is http.DefaultClient.
	Client *http.Client
}

// GitHub is GitHub as a provider, by its web flow.
type GitHub struct {
	cfg GitHubConfig
	api *url.URL
}

var _ Provider = (*GitHub)(nil)

// maxGitHubAnswer bounds what is read of one answer, and githubPages how many
// are asked for: a person with more than a thousand organizations is none.
const (
	maxGitHubAnswer = 1 << 20
	githubPages     = 10

	// maxGitHubMessage is how much of what GitHub says of an error people read.
	maxGitHubMessage = 120
)

// NewGitHub returns a provider.
func NewGitHub(cfg GitHubConfig) *GitHub {
	if cfg.Client == nil {
		cfg.Client = http.DefaultClient
	}
	if cfg.URL == nil {
		cfg.URL = &url.URL{Scheme: "https", Host: "github.com"}
	}
	g := &GitHub{cfg: cfg, api: cfg.URL.JoinPath("api", "v3")}
	switch host := cfg.URL.Host; {
	case host == "github.com":
		g.api = &url.URL{Scheme: "https", Host: "api.github.com"}
	case strings.HasSuffix(host, ".ghe.com"): // an enterprise with a region of its own
		g.api = &url.URL{Scheme: "https", Host: "api." + host}
	}
	return g
}

// Name is what the provider is called in paths.
func (g *GitHub) Name() string { return "github" }

// Issuer is whose subjects its people are.
func (g *GitHub) Issuer() string { return g.cfg.URL.String() }

// Title is what people read.
func (g *GitHub) Title() string { return "GitHub" }

// Rules say whom to let in.
func (g *GitHub) Rules() Rules { return g.cfg.LetIn }

func (g *GitHub) conf(redirect string) *oauth2.Config {
	scopes := []string{"read:user", "user:email"}
	if len(g.cfg.Organizations)+len(g.cfg.Teams) > 0 {
		scopes = append(scopes, "read:org")
	}
	return &oauth2.Config{
		ClientID: g.cfg.ClientID, ClientSecret: g.cfg.ClientSecret, RedirectURL: redirect, Scopes: scopes,
		Endpoint: oauth2.Endpoint{
			AuthURL:   g.cfg.URL.JoinPath("login", "oauth", "authorize").String(),
			TokenURL:  g.cfg.URL.JoinPath("login", "oauth", "access_token").String(),
			AuthStyle: oauth2.AuthStyleInParams,
		},
	}
}

// Check asks GitHub about a token that is none, as the app alone may: it answers
// that there is no such token, or that the app's id or secret is wrong.
func (g *GitHub) Check(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.api.JoinPath("applications", g.cfg.ClientID, "token").String(),
		strings.NewReader(`{"access_token":"none"}`))
	if err != nil {
		return fmt.Errorf("auth: GitHub: %w", err)
	}
	req.SetBasicAuth(g.cfg.ClientID, g.cfg.ClientSecret)
	req.Header.Set("Accept", "application/vnd.github+json")
	resp, err := g.cfg.Client.Do(req)
	if err != nil {
		return fmt.Errorf("auth: GitHub: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusOK:
		return nil
	case http.StatusUnauthorized:
		return fmt.Errorf("auth: GitHub at %s does not know the app %s by this secret", g.cfg.URL.Redacted(), g.cfg.ClientID)
	}
	return fmt.Errorf("auth: GitHub at %s answers %s when it is asked about the app %s", g.api.Redacted(), resp.Status, g.cfg.ClientID)
}

// Begin returns where to send a browser.
func (g *GitHub) Begin(_ context.Context, redirect string, f Flow) (string, error) {
	return g.conf(redirect).AuthCodeURL(f.State, oauth2.S256ChallengeOption(f.Verifier)), nil
}

// Finish turns what the browser came back with into a person.
func (g *GitHub) Finish(ctx context.Context, redirect, code string, f Flow) (Person, error) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, g.cfg.Client)
	token, err := g.conf(redirect).Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	var wrong *oauth2.RetrieveError
	switch {
	case errors.As(err, &wrong) && wrong.ErrorCode == "bad_verification_code":
		return Person{}, &Refused{"GitHub does not accept the sign-in any more; try again"}
	case errors.As(err, &wrong) && wrong.ErrorCode == "unverified_user_email":
		return Person{}, &Refused{"GitHub has not verified your e-mail address"}
	case err != nil: // also what only an operator can mend: a secret or an address that GitHub does not know
		return Person{}, fmt.Errorf("auth: GitHub: %w", err)
	}
	var user struct {
		ID    int64
		Login string
	}
	if _, err := g.get(ctx, token, &user, "who you are", "user"); err != nil {
		return Person{}, err
	}
	if user.ID == 0 {
		return Person{}, &Refused{"GitHub does not say who you are"}
	}
	if err := g.admits(ctx, token); err != nil {
		return Person{}, err
	}
	// The id: logins change hands.
	p := Person{Provider: g.Name(), Issuer: g.Issuer(), Subject: strconv.FormatInt(user.ID, 10), Username: user.Login}
	if p.Groups, err = g.groups(ctx, token); err != nil {
		return Person{}, err
	}
	var emails []struct {
		Email             string
		Primary, Verified bool
	}
	if _, err := g.get(ctx, token, &emails, "your e-mail addresses", "user/emails?per_page=100"); err != nil {
		return Person{}, err
	}
	for _, e := range emails {
		if e.Primary {
			p.Email, p.EmailVerified = e.Email, e.Verified
		}
	}
	return p, nil
}

// admits returns a *Refused unless somebody is an active member of one of the
// organizations that may come in.
func (g *GitHub) admits(ctx context.Context, token *oauth2.Token) error {
	if len(g.cfg.Organizations) == 0 {
		return nil
	}
	type membership struct {
		State        string
		Organization struct{ Login string }
	}
	list, err := allOf[membership](ctx, g, token, "your organizations", "user/memberships/orgs?state=active&")
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.State == "active" && slices.ContainsFunc(g.cfg.Organizations, func(o string) bool { return strings.EqualFold(o, m.Organization.Login) }) {
			return nil
		}
	}
	return &Refused{"you are in none of the GitHub organizations that may sign in here"}
}

// groups are those that somebody's teams stand for; nil if GitHub manages none.
func (g *GitHub) groups(ctx context.Context, token *oauth2.Token) ([]string, error) {
	if len(g.cfg.Teams) == 0 {
		return nil, nil
	}
	type team struct {
		Slug         string
		Organization struct{ Login string }
	}
	list, err := allOf[team](ctx, g, token, "your teams", "user/teams?")
	if err != nil {
		return nil, err
	}
	groups := []string{}
	for _, t := range list {
		for theirs, ours := range g.cfg.Teams {
			if strings.EqualFold(theirs, t.Organization.Login+"/"+t.Slug) {
				groups = append(groups, ours)
			}
		}
	}
	return groups, nil
}

// allOf asks GitHub's API for all pages of a list. That a page is short does not say
// that it is the last.
func allOf[T any](ctx context.Context, g *GitHub, token *oauth2.Token, what, path string) (all []T, err error) {
	for page := range githubPages {
		var list []T
		header, err := g.get(ctx, token, &list, what, fmt.Sprintf("%sper_page=100&page=%d", path, page+1))
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if !strings.Contains(header.Get("Link"), `rel="next"`) {
			break
		}
	}
	return all, nil
}

// get asks GitHub's API; what is it that it is asked, for people. The error is a
// *Refused if GitHub does not tell.
func (g *GitHub) get(ctx context.Context, token *oauth2.Token, out any, what, path string) (http.Header, error) {
	path, query, _ := strings.Cut(path, "?")
	u := g.api.JoinPath(path)
	u.RawQuery = query
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("auth: GitHub: %w", err)
	}
	req.Header.Set("Accept", "application/vnd.github+json")
	req.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	token.SetAuthHeader(req)
	resp, err := g.cfg.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("auth: GitHub: %w", err)
	}
	defer resp.Body.Close()
	body := json.NewDecoder(io.LimitReader(resp.Body, maxGitHubAnswer))
	if resp.StatusCode == http.StatusOK {
		if err := body.Decode(out); err != nil {
			return nil, fmt.Errorf("auth: GitHub's answer to %s: %w", path, err)
		}
		return resp.Header, nil
	}
	var said struct{ Message string }
	_ = body.Decode(&said) // it need not say anything
	said.Message = foreign.Clip(foreign.Printable(said.Message), maxGitHubMessage)
	if (resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusNotFound) && !outOfQuestions(resp) {
		// Either they did not allow it, or their organization has not.
		return nil, &Refused{"GitHub does not tell " + what + " (" + said.Message + "); sign in again and allow it, and have your organization approve the app"}
	}
	return nil, fmt.Errorf("auth: GitHub answers %s to %s: %s", resp.Status, path, said.Message)
}

// outOfQuestions reports whether GitHub was asked too often.
func outOfQuestions(resp *http.Response) bool {
	return resp.Header.Get("X-RateLimit-Remaining") == "0" || resp.Header.Get("Retry-After") != ""
}

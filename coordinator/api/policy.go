package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/policy"
	"github.com/aditmesh/adit/pkg/sdk"
)

// maxPolicyBody bounds a policy in JSON, where a line's end takes two bytes.
const maxPolicyBody = 2*policy.MaxSize + maxBody

func (a *API) registerPolicy(h huma.API) {
	const at = "/api/v1/policy"
	huma.Register(h, huma.Operation{
		OperationID: "get-policy", Method: http.MethodGet, Path: at, Summary: "Show the policy: who may reach what", Security: signedIn(),
	}, a.getPolicy)
	huma.Register(h, huma.Operation{
		OperationID: "set-policy", Method: http.MethodPut, Path: at,
		Summary: "Replace the policy, by one that is well-formed and whose tests pass. It holds at once", Security: signedIn(), MaxBodyBytes: maxPolicyBody,
	}, a.setPolicy)
	huma.Register(h, huma.Operation{
		OperationID: "list-policy-versions", Method: http.MethodGet, Path: at + "/versions", Summary: "List what the policy is and was, the newest first", Security: signedIn(),
	}, a.listPolicyVersions)
	huma.Register(h, huma.Operation{
		OperationID: "get-policy-version", Method: http.MethodGet, Path: at + "/versions/{number}", Summary: "Show a version of the policy", Security: signedIn(),
	}, a.getPolicyVersion)
}

func (a *API) getPolicy(ctx context.Context, _ *struct{}) (*tagged[sdk.Policy], error) {
	if err := a.allowAny(ctx, auth.Read, auth.Deployment); err != nil {
		return nil, err
	}
	p, err := a.Store.NewestPolicy(ctx)
	if err != nil {
		return nil, a.problem(err)
	}
	return &tagged[sdk.Policy]{version(p.Version), policyJSON(p)}, nil
}

func policyJSON(p store.Policy) sdk.Policy {
	return sdk.Policy{Version: p.Version, Text: p.Text, CreatedBy: p.Creator, CreatedAt: p.CreatedAt}
}

func (a *API) setPolicy(ctx context.Context, in *struct {
	IfMatch
	Body sdk.SetPolicy
}) (*tagged[sdk.Policy], error) {
	if err := a.allowAny(ctx, auth.Update, auth.Deployment); err != nil {
		return nil, err
	}
	if _, err := policy.Read([]byte(in.Body.Text)); err != nil {
		return nil, badPolicy(err)
	}
	p, err := a.Store.SetPolicy(ctx, in.Body.Text, caller(ctx).UserID, in.versions())
	if err != nil {
		return nil, a.problem(err)
	}
	return &tagged[sdk.Policy]{version(p.Version), policyJSON(p)}, nil
}

// badPolicy says what is wrong with a file, line by line.
func badPolicy(err error) error {
	p := coded(http.StatusUnprocessableEntity, "bad-policy", "the policy is refused")
	var problems policy.Problems
	if !errors.As(err, &problems) {
		return p.at("body.text", err.Error())
	}
	for _, one := range problems {
		p = p.at("body.text", one.String())
	}
	return p
}

func (a *API) listPolicyVersions(ctx context.Context, in *Page) (*body[sdk.List[sdk.PolicyVersion]], error) {
	if err := a.allowAny(ctx, auth.Read, auth.Deployment); err != nil {
		return nil, err
	}
	const list = "policy-versions"
	before, err := in.before(list, "")
	if err != nil {
		return nil, err
	}
	if before == 0 {
		before = math.MaxInt64
	}
	found, err := a.Store.PolicyVersions(ctx, before, in.Limit+1)
	if err != nil {
		return nil, a.problem(err)
	}
	found, next := cut(found, *in, func(last store.Policy) string { return cursor(list, "", strconv.FormatInt(last.Version, 10)) })
	items := make([]sdk.PolicyVersion, 0, len(found))
	for _, p := range found {
		items = append(items, sdk.PolicyVersion{Version: p.Version, CreatedBy: p.Creator, CreatedAt: p.CreatedAt, Size: p.Size})
	}
	return listBody(items, next), nil
}

func (a *API) getPolicyVersion(ctx context.Context, in *struct {
	Number int64 `path:"number" minimum:"1"`
}) (*body[sdk.Policy], error) {
	if err := a.allowAny(ctx, auth.Read, auth.Deployment); err != nil {
		return nil, err
	}
	p, err := a.Store.PolicyAt(ctx, in.Number)
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.Policy]{policyJSON(p)}, nil
}

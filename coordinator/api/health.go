package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/pkg/sdk"
)

func (a *API) registerHealth(h huma.API) {
	huma.Register(h, huma.Operation{
		OperationID: "health", Method: http.MethodGet, Path: "/api/v1/health",
		Summary: "What is wrong with the deployment, what shows it, and what would change it", Security: signedIn(),
	}, a.health)
	huma.Register(h, huma.Operation{
		OperationID: "support", Method: http.MethodGet, Path: "/api/v1/support",
		Summary: "What somebody who helps needs to know of the coordinator, without secrets", Security: signedIn(),
	}, a.support)
}

func (a *API) health(ctx context.Context, _ *struct{}) (*body[sdk.Health], error) {
	if err := a.allowAny(ctx, auth.Read, auth.Deployment); err != nil {
		return nil, err
	}
	return &body[sdk.Health]{a.Health(ctx)}, nil
}

func (a *API) support(ctx context.Context, _ *struct{}) (*body[sdk.Support], error) {
	if err := a.allowAny(ctx, auth.Read, auth.Deployment); err != nil {
		return nil, err
	}
	a.Logger.InfoContext(ctx, "support bundle gathered", "by", caller(ctx).UserID)
	return &body[sdk.Support]{sdk.Support{Files: a.Support(ctx)}}, nil
}

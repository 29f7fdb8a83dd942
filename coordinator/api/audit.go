package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/foreign"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// Refusals are noted up to so many a second, and so many at once: whoever is
	// refused must not be able to fill the disk.
	refusalsPerSecond = 5
	refusalsAtOnce    = 200

	// noteTimeout bounds noting one, for the client waits.
	noteTimeout = 2 * time.Second
)

func (a *API) registerAudit(h huma.API) {
	huma.Register(h, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: "/api/v1/audit", Summary: "Read the audit log, the newest first", Security: signedIn(),
	}, a.listAudit)
}

// AuditQuery says which entries are wanted.
type AuditQuery struct {
	Actor   string    `query:"actor" maxLength:"64" doc:"User name of who it was"`
	Action  string    `query:"action" maxLength:"64" pattern:"^[a-z._-]*$" doc:"workspace.created, say, or workspace for all of that kind"`
	Object  string    `query:"object" maxLength:"64" doc:"Name or id of what it was done to"`
	Outcome string    `query:"outcome" enum:"done,refused" doc:"Only what was done, or refused"`
	Since   time.Time `query:"since" doc:"Not before"`
	Until   time.Time `query:"until" doc:"Before"`
	Page
}

// filter are all that choose entries, as one text.
func (q AuditQuery) filter() string {
	return strings.Join([]string{q.Actor, q.Action, q.Object, q.Outcome, store.TimeKey(q.Since), store.TimeKey(q.Until)}, "\x00")
}

func (a *API) listAudit(ctx context.Context, in *AuditQuery) (*body[sdk.List[sdk.AuditEntry]], error) {
	if err := a.allowAny(ctx, auth.Read, auth.Audit); err != nil {
		return nil, err
	}
	if !isText(in.Actor) || !isText(in.Object) {
		return listBody[sdk.AuditEntry](nil, ""), nil
	}
	before, err := in.before("audit", in.filter())
	if err != nil {
		return nil, err
	}
	f := store.AuditFilter{Actor: in.Actor, Action: in.Action, Object: in.Object, Outcome: in.Outcome, Before: before, Limit: in.Limit + 1}
	if !in.Since.IsZero() {
		f.Since = &in.Since
	}
	if !in.Until.IsZero() {
		f.Until = &in.Until
	}
	found, err := a.Store.Audit(ctx, f)
	if err != nil {
		return nil, a.problem(err)
	}
	found, next := cut(found, in.Page, func(last store.AuditEntry) string {
		return cursor("audit", in.filter(), strconv.FormatInt(last.ID, 10))
	})
	items := make([]sdk.AuditEntry, 0, len(found))
	for _, e := range found {
		j, err := auditJSON(e)
		if err != nil {
			return nil, a.problem(err)
		}
		items = append(items, j)
	}
	return listBody(items, next), nil
}

func auditJSON(e store.AuditEntry) (sdk.AuditEntry, error) {
	out := sdk.AuditEntry{
		ID: strconv.FormatInt(e.ID, 10), At: e.At, Action: e.Action, Outcome: e.Outcome,
		ObjectID: idJSON(e.ObjectID), ObjectName: e.ObjectName,
		Actor: sdk.AuditActor{
			Kind: string(e.Actor.Kind), ID: idJSON(e.Actor.UserID), Name: e.ActorName, TokenID: idJSON(e.Actor.TokenID),
			Remote: e.Actor.Remote, RequestID: e.Actor.RequestID,
		},
	}
	for raw, to := range map[*json.RawMessage]*map[string]any{&e.Before: &out.Before, &e.After: &out.After} {
		if *raw == nil {
			continue
		}
		if err := json.Unmarshal(*raw, to); err != nil {
			return out, fmt.Errorf("audit entry %d: %w", e.ID, err)
		}
	}
	return out, nil
}

// idJSON writes an id that may be none.
func idJSON(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// refusedAct is what a request was not let do, and to what.
type refusedAct struct {
	action auth.Action
	on     auth.Object
}

type refusalKey struct{}

// noteRefusals notes in the audit log what people were not let do, and to what: also
// to what they are answered that there is no such thing, if there is.
func (a *API) noteRefusals() func(huma.Context, func(huma.Context)) {
	often := rate.NewLimiter(refusalsPerSecond, refusalsAtOnce)
	return func(ctx huma.Context, next func(huma.Context)) {
		var r refusedAct
		next(huma.WithValue(ctx, refusalKey{}, &r))
		hidden := ctx.Status() == http.StatusNotFound && r.on.ID != uuid.Nil
		if (ctx.Status() != http.StatusForbidden && !hidden) || !often.Allow() {
			return
		}
		details := map[string]string{"method": ctx.Method(), "path": foreign.Printable(ctx.URL().Path)}
		if r.action != "" {
			details["action"] = string(r.on.Type) + ":" + string(r.action)
		}
		a.note(ctx.Context(), ctx.Operation().OperationID, store.AuditRefused, r.on.ID, foreign.Printable(r.on.Name), details)
	}
}

// noteSignIn notes that somebody signed in, or did not get in.
func (a *API) noteSignIn(ctx context.Context, outcome string, userID uuid.UUID, name string) {
	act := store.ActorFrom(ctx)
	if userID != uuid.Nil {
		act.Kind, act.UserID = store.ActorUser, userID
	}
	a.note(store.WithActor(ctx, act), "sign-in", outcome, userID, foreign.Printable(name), nil)
}

// note writes into the audit log what has happened, whether the client waits
// for it or not.
func (a *API) note(ctx context.Context, action, outcome string, objectID uuid.UUID, objectName string, details map[string]string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	if err := a.Store.WriteAudit(ctx, action, outcome, objectID, objectName, details); err != nil {
		a.Logger.Error("the audit log lacks an entry", "action", action, "outcome", outcome, "object", objectName, "err", err)
	}
}

package api

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/coordinator/store"
)

// An entity tag is "VERSION.HASH", or "HASH" for what has no version. The hash is
// of all that was answered: it tells a reader whether there is anything new. The
// version is of what people change: whoever updates is told when somebody else has
// done so since they looked, and not when only an agent has come or gone.

// tagged is an answer with the version of what it shows.
type tagged[T any] struct {
	ETag string `header:"ETag" doc:"Stands for what is answered; for If-None-Match and If-Match"`
	Body T
}

// version is a version as operations hand it to [API.tags].
func version(n int64) string { return strconv.FormatInt(n, 10) }

// tags gives answers to reads, and to updates that answer with what they made of a
// thing, their tags, and leaves out those that the reader has already. What would not
// look at an If-Match is not done: whoever sends one relies on it.
func (a *API) tags(ctx huma.Context, next func(huma.Context)) {
	op := ctx.Operation()
	reads := op.Method == http.MethodGet
	updates := !reads && takesIfMatch(op)
	if seen := ctx.Header("If-Match"); !reads && !updates && seen != "" && seen != "*" {
		a.writeError(ctx, coded(http.StatusPreconditionFailed, "no-if-match", "this cannot be done only if nothing has changed: send it without If-Match"))
		return
	}
	if !reads && !updates || op.Metadata[endless] != nil {
		next(ctx)
		return
	}
	kept := newAnswer(ctx)
	next(kept)
	if v := kept.header.Get("ETag"); kept.status == http.StatusOK && (reads || v != "") {
		sum := sha256.Sum256(kept.body.Bytes())
		tag := hex.EncodeToString(sum[:12])
		if v != "" {
			tag = v + "." + tag
		}
		tag = `"` + tag + `"`
		kept.header.Set("ETag", tag)
		if reads && hasTag(ctx.Header("If-None-Match"), tag) {
			kept.status = http.StatusNotModified
			kept.header.Del("Content-Type")
			kept.body.Reset()
		}
	}
	kept.send()
}

func takesIfMatch(op *huma.Operation) bool {
	return slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.Name == "If-Match" })
}

// hasTag reports whether a list of tags has one, weak ones included: proxies that
// compress make them so.
func hasTag(list, tag string) bool {
	for _, t := range splitTags(list) {
		if t == "*" || strings.TrimPrefix(t, "W/") == tag {
			return true
		}
	}
	return false
}

// splitTags takes a header with tags apart. Ours have no commas.
func splitTags(list string) []string {
	var tags []string
	for t := range strings.SplitSeq(list, ",") {
		if t = strings.TrimSpace(t); t != "" {
			tags = append(tags, t)
		}
	}
	return tags
}

// IfMatch is what an update wants what it changes to be like. Operations embed it;
// exported, or the library does not see it.
type IfMatch struct {
	IfMatch string `header:"If-Match" maxLength:"1024" doc:"ETag of what was read: the update is refused with 412 if it was changed since" example:"\"7.8f14e45fceea167a5a36dedd\""`
}

// versions are those that the header allows; nil if there is none, or any will do.
func (m IfMatch) versions() store.Versions {
	list := splitTags(m.IfMatch)
	if len(list) == 0 {
		return nil
	}
	allowed := store.Versions{}
	for _, t := range list {
		if t == "*" {
			return nil
		}
		text, _, ok := strings.Cut(strings.Trim(t, `"`), ".")
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && ok && strings.HasPrefix(t, `"`) { // else it is none of ours, or weak
			allowed = append(allowed, n)
		}
	}
	return allowed
}

// check returns a problem unless what is at a version is as the caller saw it.
func (m IfMatch) check(now int64) error { return m.versions().Check(now) }

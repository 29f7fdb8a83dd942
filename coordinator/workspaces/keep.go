package workspaces

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
)

// keepEvery is how often workspaces are looked after: people think in minutes.
const keepEvery = 15 * time.Second

// errNothingDue is what was due and is not any more: somebody was faster.
var errNothingDue = errors.New("nothing is due any more")

// keep does what workspaces need without anybody asking, until ctx is done. Each
// coordinator looks; what is due is decided once more with the workspace locked,
// so that one of them does it.
func (s *Service) keep(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	var here time.Time // since when this coordinator hears, by the database's clock
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		list, now, err := s.store.Upkeep(ctx)
		if err != nil {
			here = time.Time{} // nor could it be noted who used what
			s.log.Debug("workspaces are not looked after for now", "err", err)
			continue
		}
		now = s.cfg.ScheduleClock(now)
		if here.IsZero() {
			here = now
		}
		s.keepAll(ctx, list, now, here)
	}
}

// keepAll does what is due of some workspaces.
func (s *Service) keepAll(ctx context.Context, list []store.Upkeep, now, here time.Time) {
	for _, u := range list {
		n, ok := upkeep(u, now, here)
		if !ok {
			continue
		}
		err := s.keepOne(ctx, u, now, here)
		var bad *BadInput
		switch {
		case err == nil:
			s.log.Info("workspace looked after", "workspace", u.ID, "dormant", n.dormant, "build", n.transition, "reason", n.reason)
		case errors.Is(err, errNothingDue), errors.Is(err, store.ErrNotFound):
		case errors.As(err, &bad):
			if err := s.store.SetUpkeepProblem(ctx, u.ID, n.reason+": "+bad.Reason); err != nil {
				s.log.Debug("problem of a workspace is not noted", "workspace", u.ID, "err", err)
			}
		default:
			s.log.Warn("workspace could not be looked after; it will be tried again", "workspace", u.ID, "reason", n.reason, "err", err)
		}
	}
}

// keepOne does what a workspace needs, if it still does.
func (s *Service) keepOne(ctx context.Context, seen store.Upkeep, now, here time.Time) error {
	found, err := s.usableVersion(ctx, seen.TemplateID, seen.VersionID)
	if err != nil {
		return err
	}
	err = s.store.CreateDueBuild(ctx, seen.ID, now, func(w store.WorkspaceState, u store.Upkeep) (*store.NewBuild, error) {
		n, ok := upkeep(u, now, here)
		if !ok || u.VersionID != seen.VersionID {
			return nil, errNothingDue
		}
		if n.dormant {
			return nil, nil
		}
		if err := free(w); err != nil {
			return nil, errNothingDue
		}
		params := w.Last.Parameters
		if n.transition == store.Start {
			if params, err = resolve(found.GetParameters(), params, nil); err != nil {
				return nil, err
			}
		}
		b := newBuild(n.transition, u.VersionID, params, u.OwnerID, n.reason)
		return &b, nil
	})
	if err != nil {
		return err
	}
	s.act(lookForWork{})
	return nil
}

// SetSchedule changes when a workspace starts by itself, and how long it runs after
// a start. A *[BadInput] says what the template does not allow;
// store.ErrChanged is that the workspace is at none of the versions.
func (s *Service) SetSchedule(ctx context.Context, w store.Workspace, n store.Schedule, at store.Versions) error {
	if w.External {
		return badInput("workspace %s is external: somebody starts and stops it by hand", w.Name)
	}
	l, _, err := s.store.TemplateLimits(ctx, w.TemplateID)
	if err != nil {
		return err
	}
	if n.Autostart != nil {
		text, err := readSchedule(*n.Autostart, l)
		if err != nil {
			return err
		}
		n.Autostart = &text
	}
	switch ttl := n.TTL; {
	case ttl == nil || *ttl < 0:
	case *ttl > 0 && *ttl < minTTL:
		return badInput("a workspace runs for at least %v after its start", minTTL)
	case l.MaxTTL > 0 && (*ttl == 0 || *ttl > l.MaxTTL):
		return badInput("workspaces of this template run for at most %v", l.MaxTTL)
	}
	return s.store.SetSchedule(ctx, w.ID, n, at)
}

// minTTL leaves agents the time to report that a workspace is used.
const minTTL = 10 * time.Minute

// minBump is how far reports of use may be behind, and some minutes more.
const minBump = 5 * time.Minute

// CheckLimits says what of a template's limits makes no sense, as a *[BadInput].
func CheckLimits(l store.Limits) error {
	switch {
	case l.DefaultTTL > 0 && l.DefaultTTL < minTTL, l.MaxTTL > 0 && l.MaxTTL < minTTL:
		return badInput("a workspace runs for at least %v after its start", minTTL)
	case l.MaxTTL > 0 && l.DefaultTTL > l.MaxTTL:
		return badInput("workspaces cannot run for %v unless told otherwise and for %v at most", l.DefaultTTL, l.MaxTTL)
	case l.ActivityBump > 0 && l.ActivityBump < minBump:
		return badInput("use puts a stop off for %v or longer, or not at all", minBump)
	case l.DormantAfter > 0 && l.DormantAfter < 24*time.Hour:
		return badInput("a workspace is dormant after a day without use, or more")
	case l.DeleteAfter > 0 && (l.DormantAfter == 0 || l.DeleteAfter < 24*time.Hour):
		return badInput("a workspace is deleted a day or more after it became dormant")
	}
	return nil
}

// readSchedule returns the text of a schedule as it is kept.
func readSchedule(text string, l store.Limits) (string, error) {
	if text == "" {
		return "", nil
	}
	if l.NoAutostart {
		return "", badInput("the template lets no workspace start by itself")
	}
	s, err := ParseSchedule(text)
	return s.String(), err
}

// Extend has a running workspace not stop before some time from now on;
// store.ErrChanged is that it is at none of the versions.
func (s *Service) Extend(ctx context.Context, id uuid.UUID, by time.Duration, at store.Versions) error {
	err := s.store.ExtendWorkspace(ctx, id, time.Now().Add(by), at)
	if errors.Is(err, store.ErrNotFound) {
		return badInput("the workspace is not running")
	}
	return err
}

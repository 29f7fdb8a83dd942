package workspaces

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/foreign"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/rpc"
)

const (
	// protocolVersion is the protocol spoken here.
	protocolVersion = 1

	// helloTimeout is how long a stream may take to say who it is.
	helloTimeout = 10 * time.Second

	// pollEvery is how often a provisioner's session looks for work of itself:
	// for jobs that another coordinator queued.
	pollEvery = 5 * time.Second

	// lookAgain is when a job that somebody was changing is looked at again:
	// after a transaction or two.
	lookAgain = 20 * time.Millisecond

	// Limits on what a provisioner may say of itself. maxJobs has room for what
	// it could not deliver for long.
	maxSlots = 256
	maxJobs  = 4096
	maxTags  = 32
	maxTag   = 64
)

// errTwice is what the second of two provisioners of one name is told.
var errTwice = errors.New("another provisioner of this name is connected with this key; give each its own --name")

// errNotProvisioner is a stream that somebody else's token opened.
var errNotProvisioner = errors.New("workspaces: stream without a provisioner's identity")

func identity(ctx context.Context) (auth.Identity, error) {
	v, _ := rpc.Identity(ctx)
	who, ok := v.(auth.Identity)
	if !ok || who.Kind != auth.Provisioner {
		return auth.Identity{}, errNotProvisioner
	}
	return who, nil
}

// Connect serves one session of a provisioner.
func (s *Service) Connect(stream provisionerv1.Provisioner_ConnectServer) error {
	ctx := stream.Context()
	id, err := identity(ctx)
	if err != nil {
		return err
	}
	ups := make(chan *provisionerv1.Up)
	go func() { // ends with the stream, which ends when Connect returns
		defer close(ups)
		for {
			up, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case ups <- up:
			case <-ctx.Done():
				return
			}
		}
	}()
	var hello *provisionerv1.Hello
	select {
	case up, ok := <-ups:
		if !ok {
			return nil
		}
		hello = up.GetHello()
	case <-time.After(helloTimeout):
	}
	who, jobs, err := admit(id, hello)
	if err == nil {
		err = skewed(s.cfg.Version, hello.GetVersion())
	}
	if err != nil {
		s.log.WarnContext(ctx, "a provisioner was refused", "name", foreign.Clip(hello.GetName(), maxTag), "from", rpc.RemoteAddr(ctx), "err", err)
		return stream.Send(errorDown(err.Error()))
	}
	sess := newSession(who, hello.GetInstance())
	defer close(sess.over)
	if err := s.enter(ctx, sess); errors.Is(err, errTwice) {
		s.log.WarnContext(ctx, "a provisioner was not let in", "name", who.Name, "from", rpc.RemoteAddr(ctx), "err", err)
		return stream.Send(errorDown(err.Error()))
	} else if err != nil {
		return err
	}
	defer s.exit(sess)
	defer s.leave(ctx, sess)
	if err := s.welcome(ctx, sess, jobs); err != nil {
		s.log.WarnContext(ctx, "a provisioner could not join", "name", who.Name, "err", err)
		return stream.Send(errorDown("the database is away; try again"))
	}
	s.log.InfoContext(ctx, "provisioner joined", "provisioner", who.ID, "name", who.Name, "slots", who.Slots, "tags", who.Tags, "from", rpc.RemoteAddr(ctx))
	welcome := &provisionerv1.Welcome{ProvisionerId: who.ID.String(), LeaseSeconds: uint32(max(1, s.cfg.Lease/time.Second))}
	if err := stream.Send(&provisionerv1.Down{Msg: &provisionerv1.Down_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	err = s.serve(stream, sess, ups)
	s.log.InfoContext(ctx, "provisioner left", "provisioner", who.ID, "name", who.Name, "err", err)
	return err
}

// admit says who a provisioner is, and which jobs it has, or why it may not in.
func admit(id auth.Identity, h *provisionerv1.Hello) (store.Provisioner, []store.JobAttempt, error) {
	tags := maps.Clone(h.GetTags())
	if tags == nil {
		tags = make(map[string]string)
	}
	maps.Copy(tags, id.Tags)
	switch {
	case h == nil:
		return store.Provisioner{}, nil, errors.New("the first message must be hello, and come at once")
	case h.GetProtocol() != protocolVersion:
		return store.Provisioner{}, nil, fmt.Errorf("protocol version %d is not spoken here, only %d; use an adit of the coordinator's version",
			h.GetProtocol(), protocolVersion)
	case h.GetName() == "", len(h.GetName()) > 128, len(h.GetVersion()) > 128, len(h.GetTerraformVersion()) > 128:
		return store.Provisioner{}, nil, errors.New("name or versions are missing or too long")
	case strings.ContainsFunc(h.GetName()+h.GetVersion()+h.GetTerraformVersion(), unicode.IsControl):
		return store.Provisioner{}, nil, errors.New("name or versions have control characters")
	case len(h.GetInstance()) > maxTag:
		return store.Provisioner{}, nil, errors.New("the instance is too long")
	case h.GetSlots() == 0, h.GetSlots() > maxSlots:
		return store.Provisioner{}, nil, fmt.Errorf("%d slots; 1 to %d are allowed", h.GetSlots(), maxSlots)
	case len(tags) > maxTags:
		return store.Provisioner{}, nil, fmt.Errorf("%d tags; at most %d are allowed", len(tags), maxTags)
	}
	for k, v := range tags {
		if len(k) > maxTag || len(v) > maxTag || strings.ContainsFunc(k+v, unicode.IsControl) {
			return store.Provisioner{}, nil, fmt.Errorf("tag %.64q is too long or has control characters", k)
		}
	}
	jobs, err := attemptsFrom(h.GetJobs())
	return store.Provisioner{
		// Of one key, the name tells provisioners apart, also after a restart.
		ID: uuid.NewSHA1(id.KeyID, []byte(h.GetName())), KeyID: id.KeyID,
		Name: h.GetName(), Version: h.GetVersion(), TerraformVersion: h.GetTerraformVersion(), Tags: tags, Slots: int(h.GetSlots()),
		Draining: h.GetLeaving(),
	}, jobs, err
}

// enter makes sess the provisioner's only session. Of one process the newer wins,
// once the older has come to its end, so that no job is handed to both. Another
// process has to wait until the older has not been heard for half a lease: two that
// drove each other out would lose each other's jobs.
func (s *Service) enter(ctx context.Context, sess *session) error {
	for {
		s.mu.Lock()
		old := s.sessions[sess.who.ID]
		if old == nil {
			s.sessions[sess.who.ID] = sess
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		if old.isOther(sess) && old.silence() < s.cfg.Lease/2 {
			return errTwice
		}
		old.end("a newer session of this provisioner is there")
		select {
		case <-old.over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// leave notes that the session is over. Unless it is noted the provisioner counts as
// there for a lease more.
func (s *Service) leave(ctx context.Context, sess *session) {
	if sess.since.IsZero() {
		return
	}
	if err := s.store.LeaveProvisioner(context.WithoutCancel(ctx), sess.who.ID, sess.since); err != nil {
		s.log.DebugContext(ctx, "a provisioner's leave is not noted", "name", sess.who.Name, "err", err)
	}
}

func (s *Service) exit(sess *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, sess.who.ID)
}

// welcome settles what became of the provisioner's jobs meanwhile: those it has
// no more are lost, and those that are no longer its own it is to end.
func (s *Service) welcome(ctx context.Context, sess *session, has []store.JobAttempt) error {
	var err error
	if sess.since, err = s.store.ConnectProvisioner(ctx, sess.who); err != nil {
		return err
	}
	stale, err := s.store.Heartbeat(ctx, sess.who.ID, has)
	if err != nil {
		return err
	}
	for _, j := range stale {
		sess.cancelJob(j, true)
	}
	held := make(map[store.JobAttempt]bool)
	for _, j := range has {
		held[j] = true
	}
	running, _, err := s.store.RunningJobs(ctx)
	if err != nil {
		return err
	}
	for _, j := range running {
		if j.ProvisionerID != sess.who.ID || held[store.JobAttempt{ID: j.ID, Attempt: j.Attempt}] {
			continue
		}
		if err := s.step(ctx, j.ID, lost{attempt: j.Attempt, why: "its provisioner " + sess.who.Name + " was restarted and has it no more"}); err != nil {
			return err
		}
	}
	sess.lookForWork()
	return nil
}

// serve carries messages both ways until the stream ends, one way or another.
func (s *Service) serve(stream provisionerv1.Provisioner_ConnectServer, sess *session, ups <-chan *provisionerv1.Up) error {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	leaving := sess.who.Draining
	for {
		select {
		case <-sess.wake:
			downs, ended := sess.word()
			for _, d := range downs {
				if err := stream.Send(d); err != nil {
					return err
				}
			}
			if ended != "" {
				return nil
			}
		case <-poll.C:
			sess.lookForWork()
		case <-sess.look:
			if leaving {
				continue
			}
			if err := s.handOut(stream, sess); err != nil {
				return err
			}
		case up, ok := <-ups:
			if !ok {
				return nil
			}
			sess.hear()
			if up.GetBye() != nil && !leaving {
				leaving = true
				s.log.InfoContext(stream.Context(), "provisioner takes no more jobs", "provisioner", sess.who.ID, "name", sess.who.Name)
			}
			if err := s.onUp(stream.Context(), sess, up); err != nil {
				s.log.WarnContext(stream.Context(), "provisioner broke the protocol", "provisioner", sess.who.ID, "name", sess.who.Name, "err", err)
				return stream.Send(errorDown(err.Error()))
			}
		}
	}
}

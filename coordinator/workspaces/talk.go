package workspaces

import (
	"context"
	"errors"
	"time"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// handOut gives a provisioner the jobs that it can take now.
func (s *Service) handOut(stream provisionerv1.Provisioner_ConnectServer, sess *session) error {
	ctx := stream.Context()
	for {
		st, err := s.store.TakeJob(ctx, store.ProvisionerLoad{ID: sess.who.ID, KeyID: sess.key, Tags: sess.who.Tags, Slots: sess.who.Slots}, func(st *store.JobState) error {
			_, _, err := step(st, taken{provisioner: sess.who.ID})
			return err
		})
		if errors.Is(err, store.ErrBusy) {
			time.AfterFunc(lookAgain, sess.lookForWork)
			return nil
		}
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			s.log.DebugContext(ctx, "no job could be taken", "err", err)
			return nil // the next look may
		}
		// From here on the job is its provisioner's: if it does not get to know,
		// it will not name the job when it returns, and lose it.
		job, err := s.jobMessage(ctx, st.Job)
		if err != nil {
			return err
		}
		if err := stream.Send(&provisionerv1.Down{Msg: &provisionerv1.Down_Job{Job: job}}); err != nil {
			return err
		}
		s.log.InfoContext(ctx, "job handed out", "job", st.Job.ID, "attempt", st.Job.Attempt, "provisioner", sess.who.Name)
	}
}

// refused has a job that came to its provisioner too late go to another at once.
func (s *Service) refused(ctx context.Context, sess *session, at store.JobAttempt) error {
	j, err := s.store.Job(ctx, at.ID)
	if err == nil && j.ProvisionerID == sess.who.ID {
		err = s.step(ctx, at.ID, lost{attempt: at.Attempt, why: "its provisioner " + sess.who.Name + " was about to stop"})
	}
	if err != nil { // then its lease ends first
		s.log.DebugContext(ctx, "a job that was given back is not handed on", "job", at.ID, "err", err)
	}
	return nil
}

// onUp handles one message. An error ends the stream.
func (s *Service) onUp(ctx context.Context, sess *session, up *provisionerv1.Up) error {
	switch m := up.GetMsg().(type) {
	case *provisionerv1.Up_Heartbeat:
		jobs, err := attemptsFrom(m.Heartbeat.GetJobs())
		if err != nil {
			return err
		}
		stale, err := s.store.Heartbeat(ctx, sess.who.ID, jobs)
		if err != nil {
			s.log.DebugContext(ctx, "a heartbeat is not noted", "err", err)
			return nil // the next one may be
		}
		for _, j := range stale {
			sess.cancelJob(j, true)
		}
	case *provisionerv1.Up_Bye:
		if err := s.store.DrainProvisioner(ctx, sess.who.ID); err != nil {
			s.log.DebugContext(ctx, "it is not noted that a provisioner takes no more jobs", "err", err)
		}
	case *provisionerv1.Up_Refuse:
		at, err := attemptFrom(m.Refuse.GetJob())
		if err != nil {
			return err
		}
		return s.refused(ctx, sess, at)
	case *provisionerv1.Up_Hello:
		return errors.New("hello came twice")
	}
	return nil // or a message of a later version
}

package provisioner

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// deliver hands the state and the result over and removes the job. What cannot
// be handed over before ctx is done stays for the next process.
func (j *job) deliver(ctx context.Context, result *provisionerv1.Result) {
	j.once.Do(func() { close(j.worked) })
	if j.dir != nil {
		j.dir.release() // room for what follows
		if err := j.dir.putResult(result); err != nil {
			j.log.Error("result not kept on disk", "err", err)
		}
	}
	if err := j.deliverState(ctx); err != nil {
		j.log.Error("state stays on this host until it is delivered", "err", err)
		return
	}
	j.logs.drain(ctx, j.p.hurry)
	err := j.p.link.call(ctx, "finish", func(ctx context.Context, c provisionerv1.ProvisionerClient) error {
		_, err := c.Finish(ctx, result)
		return err
	})
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		// It belongs to an earlier attempt: the state is there, that was all.
		j.log.Warn("result not taken", "err", err)
	}
	if j.dir != nil {
		j.dir.remove()
	}
	j.log.Info("job done", "status", result.GetStatus(), "err", result.GetError())
}

// deliverState saves the state if the job may have changed it.
func (j *job) deliverState(ctx context.Context) error {
	if j.dir == nil || !j.dir.hasBegun() {
		return nil
	}
	state, err := j.dir.state()
	if err != nil {
		return err
	}
	if state == nil {
		return nil
	}
	head := &provisionerv1.StateHead{Job: j.ref, Lineage: state.Lineage, Serial: state.Serial}
	var saved *provisionerv1.Saved
	err = j.p.link.call(ctx, "save the state", func(ctx context.Context, c provisionerv1.ProvisionerClient) (err error) {
		saved, err = sendState(ctx, c, head, state.raw)
		return err
	})
	switch status.Code(err) {
	case codes.NotFound, codes.InvalidArgument, codes.FailedPrecondition, codes.PermissionDenied:
		kept, kerr := j.dir.refuse(j.p.cfg.Dir)
		if kerr != nil {
			return errors.Join(err, kerr)
		}
		j.log.Error("the coordinator does not take a state; it is kept here", "dir", kept, "err", err)
		return nil
	}
	if err == nil && !saved.GetCurrent() {
		j.log.Warn("state put aside by the coordinator: it has one that this does not descend from", "serial", state.Serial)
	}
	return err
}

func sendState(ctx context.Context, c provisionerv1.ProvisionerClient, head *provisionerv1.StateHead, raw []byte) (*provisionerv1.Saved, error) {
	stream, err := c.SaveState(ctx)
	if err != nil {
		return nil, err
	}
	// Of an error of Send, CloseAndRecv tells more.
	err = stream.Send(&provisionerv1.StateChunk{Head: head})
	for len(raw) > 0 && err == nil {
		n := min(len(raw), chunkBytes)
		err = stream.Send(&provisionerv1.StateChunk{Data: raw[:n]})
		raw = raw[n:]
	}
	saved, err := stream.CloseAndRecv()
	if err != nil {
		return nil, err
	}
	return saved, nil
}

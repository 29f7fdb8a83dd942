package provisioner

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"github.com/aditmesh/adit/pkg/archive"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

const (
	// maxArchive bounds a template's archive, and maxStateBytes a state: both
	// are held in memory once.
	maxArchive    = 64 << 20
	maxStateBytes = 256 << 20

	// chunkBytes is how much of a state goes into one message.
	chunkBytes = 256 << 10
)

// fetch gets the template and, for a build, the state it starts from. It returns
// the template's digest.
func (j *job) fetch() ([]byte, error) {
	var packed []byte
	err := j.p.link.call(j.ctx, "fetch the template", func(ctx context.Context, c provisionerv1.ProvisionerClient) error {
		stream, err := c.Archive(ctx, j.ref)
		if err != nil {
			return err
		}
		packed, err = gather(stream, maxArchive)
		return err
	})
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(packed)
	if want := j.work.GetArchiveDigest(); len(want) > 0 && !bytes.Equal(digest[:], want) {
		return nil, fmt.Errorf("template arrived damaged: its digest is %x, not %x", digest, want)
	}
	if err := archive.Unpack(packed, j.dir.files()); err != nil {
		return nil, fmt.Errorf("unpack the template: %w", err)
	}
	if j.work.GetBuild() == nil {
		return digest[:], nil
	}
	var state []byte
	err = j.p.link.call(j.ctx, "load the state", func(ctx context.Context, c provisionerv1.ProvisionerClient) error {
		stream, err := c.LoadState(ctx, j.ref)
		if err != nil {
			return err
		}
		state, err = gather(stream, maxStateBytes)
		return err
	})
	if err != nil {
		return nil, err
	}
	return digest[:], j.dir.putState(state)
}

// gather reads a stream of chunks to its end.
func gather(stream grpc.ServerStreamingClient[provisionerv1.Chunk], limit int) ([]byte, error) {
	var all []byte
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if len(all)+len(chunk.GetData()) > limit {
			return nil, fmt.Errorf("more than %d bytes", limit)
		}
		all = append(all, chunk.GetData()...)
	}
}

package provisioner

import (
	"context"
	"fmt"
	"runtime"

	"github.com/google/uuid"
	tfjson "github.com/hashicorp/terraform-json"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/container"
	"github.com/aditmesh/adit/provisioner/process"
	"github.com/aditmesh/adit/provisioner/terraform"
)

// sweep ends the workspace's processes and containers on this host that its state
// does not have: Terraform was killed after one was made, and before it could write
// so down. Of a deleted workspace nothing stays.
func (j *job) sweep(ctx context.Context, state *tfjson.StateModule, deleted bool) error {
	if runtime.GOOS != "linux" {
		return nil // nothing can be made here
	}
	workspace, err := uuid.Parse(j.work.GetBuild().GetWorkspaceId())
	if err != nil {
		return fmt.Errorf("provisioner: workspace id: %w", err)
	}
	host, containers := process.Host{Dir: j.p.cfg.Dir}, container.Ledger{Dir: j.p.cfg.Dir}
	if deleted {
		if err := containers.Remove(ctx, workspace); err != nil {
			return err
		}
		return host.Remove(ctx, workspace)
	}
	if err := containers.Sweep(ctx, workspace, terraform.Values(state, "adit_container", "id")...); err != nil {
		// An engine may be gone that an earlier version of the template used.
		j.logs.say(provisionerv1.Line_WARN, err.Error())
	}
	var keep []uuid.UUID
	for _, text := range terraform.Values(state, "adit_process", "agent_id") {
		id, err := uuid.Parse(text)
		if err != nil {
			return fmt.Errorf("provisioner: agent id of an adit_process: %w", err)
		}
		keep = append(keep, id)
	}
	return host.Sweep(ctx, workspace, keep...)
}

package provisioner

import (
	"context"
	"fmt"
	"runtime"

	"github.com/google/uuid"
	tfjson "github.com/hashicorp/terraform-json"

	"github.com/aditmesh/adit/provisioner/process"
	"github.com/aditmesh/adit/provisioner/terraform"
)

// sweep ends the workspace's processes on this host that its state does not
// have: Terraform was killed after one was made, and before it could write so
// down. Of a deleted workspace nothing stays.
func (j *job) sweep(ctx context.Context, state *tfjson.StateModule, deleted bool) error {
	if runtime.GOOS != "linux" {
		return nil // there is no adit_process
	}
	workspace, err := uuid.Parse(j.work.GetBuild().GetWorkspaceId())
	if err != nil {
		return fmt.Errorf("provisioner: workspace id: %w", err)
	}
	host := process.Host{Dir: j.p.cfg.Dir}
	if deleted {
		return host.Remove(ctx, workspace)
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

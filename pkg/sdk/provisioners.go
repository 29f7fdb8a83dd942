package sdk

import (
	"context"
	"net/http"
	"time"
)

// Provisioner is a program that runs Terraform for the coordinator.
type Provisioner struct {
	ID               string            `json:"id"`
	Name             string            `json:"name"`
	Key              string            `json:"key,omitempty" doc:"Name of the key it came with; empty for one inside the coordinator"`
	Version          string            `json:"version"`
	TerraformVersion string            `json:"terraform_version"`
	Tags             map[string]string `json:"tags"`
	Slots            int               `json:"slots" doc:"How many jobs it runs at once"`
	Running          int               `json:"running" doc:"How many it runs now"`
	Connected        bool              `json:"connected"`
	Draining         bool              `json:"draining,omitempty" doc:"It takes no more jobs, and ends when those that it runs are over"`
	ConnectedAt      time.Time         `json:"connected_at"`
	LastSeenAt       time.Time         `json:"last_seen_at"`
}

// ProvisionerKey is what provisioners join with, without its secret.
type ProvisionerKey struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Organization string            `json:"organization" doc:"Name of the organization that its provisioners work for"`
	Tags         map[string]string `json:"tags" doc:"What its provisioners may call themselves"`
	CreatedAt    time.Time         `json:"created_at"`
}

// CreateProvisionerKey asks for a key.
type CreateProvisionerKey struct {
	Name string            `json:"name" minLength:"1" maxLength:"64" pattern:"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" patternDescription:"a label of lower-case letters, digits and hyphens"`
	Tags map[string]string `json:"tags,omitempty"`
	// Organization is whom its provisioners work for; the default one unless set.
	Organization string `json:"organization,omitempty" maxLength:"64"`
}

// CreatedProvisionerKey is a new key; its text is shown this once.
type CreatedProvisionerKey struct {
	ProvisionerKey
	Text string `json:"key"`
}

// CreateProvisionerKey makes a key.
func (c *Client) CreateProvisionerKey(ctx context.Context, req CreateProvisionerKey) (k CreatedProvisionerKey, err error) {
	err = c.do(ctx, http.MethodPost, &k, req, "provisioner-keys")
	return k, err
}

// DeleteProvisionerKey revokes a key and ends what it has open.
func (c *Client) DeleteProvisionerKey(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, nil, nil, owned("provisioner-keys", name)...)
}

// ProvisionerJob is a job with the names of what it is about.
type ProvisionerJob struct {
	Kind         string            `json:"kind" enum:"import,start,stop,delete"`
	Organization string            `json:"organization" doc:"Name of the template's organization"`
	Template     string            `json:"template"`
	Version      int               `json:"version" doc:"Of the template"`
	Owner        string            `json:"owner,omitempty" doc:"User name of the workspace's owner; left out for imports"`
	Workspace    string            `json:"workspace,omitempty"`
	Build        int               `json:"build,omitempty" doc:"Its number"`
	Tags         map[string]string `json:"tags" doc:"Provisioners that take it have all of these"`
	Provisioner  string            `json:"provisioner,omitempty" doc:"Name of who has it, or had it last"`
	Job          Job               `json:"job"`
}

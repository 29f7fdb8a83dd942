// Package provisioner runs Terraform for a coordinator.
//
// [Run] keeps a session with the coordinator, takes as many jobs at once as it
// has slots, and returns when its context is done. Each job has a directory,
// an environment, a time and a share of the disk of its own:
//
//	DATA/lock                      one provisioner a directory
//	DATA/terraform/                mirror and cache of providers, for all jobs
//	DATA/jobs/ID/job.json          which attempt it is
//	DATA/jobs/ID/files/            the template
//	DATA/jobs/ID/terraform.tfstate the state, wherever the template wants it
//	DATA/jobs/ID/result.json       how it ended, once it has
//	DATA/refused/ID/               a state that the coordinator did not take
//
// No state is lost. A build that may have changed something is marked as begun
// on the disk before it does; from then on its directory stays until the
// coordinator has the state and the result, however often the connection, this
// process or the machine ends in between. What an earlier process left behind
// is delivered by the next one.
//
// A provisioner that cannot reach the coordinator for as long as its lease
// interrupts Terraform: from then on the coordinator counts it as gone.
//
// Nothing here is a boundary against templates: Terraform runs what they say, as
// the user who runs the provisioner. A job does not see adit's settings nor
// another job's environment, but whatever that user can read it can read too.
package provisioner

package provisioner

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/standin"
)

// coldRounds is how often eight builds fill an empty cache. ADIT_TEST_COLD_ROUNDS
// says another number, and then the AWS provider, of 700 MB, is among those that they
// need, where this machine has a mirror with it.
const coldRounds = "2"

const needsOne = `
terraform {
  required_providers {
    one = { source = "example.com/one/adit" }
  }
}
resource "adit_agent" "one" {
  provider = one
  name     = "one"
}
`

const needsBoth = `
terraform {
  required_providers {
    one = { source = "example.com/one/adit" }
    two = { source = "example.com/two/adit" }
  }
}
resource "adit_agent" "one" {
  provider = one
  name     = "one"
}
resource "adit_agent" "two" {
  provider = two
  name     = "two"
}
`

const needsAWS = `
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
    two = { source = "example.com/two/adit" }
  }
}
provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}
data "aws_iam_policy_document" "policy" {
  statement {
    actions   = ["s3:ListBucket"]
    resources = ["*"]
  }
}
resource "adit_agent" "two" {
  provider = two
  name     = "two"
}
resource "terraform_data" "policy" { input = data.aws_iam_policy_document.policy.json }
`

// standinMirror is a mirror with the providers that the templates here need.
func standinMirror(t *testing.T) string {
	t.Helper()
	mirror := t.TempDir()
	for _, owner := range []string{"one", "two"} {
		standin.Pack(t, mirror, "example.com/"+owner+"/adit", "1.0.0", standin.Path(t))
	}
	return mirror
}

// Terraform unpacks plugins into the cache that all jobs share, and does so without a
// lock. Nobody runs one that is half there, nor writes one that somebody runs.
func TestEightBuildsAtOnceFillAColdCache(t *testing.T) {
	mirror, templates := standinMirror(t), []string{needsOne, needsBoth}
	if os.Getenv("ADIT_TEST_COLD_ROUNDS") != "" {
		const aws = "registry.terraform.io/hashicorp/aws"
		programs, err := filepath.Glob(filepath.Join(standin.Mirror(t, aws), aws, "*", "*", "terraform-provider-*"))
		if err != nil || len(programs) == 0 {
			t.Fatalf("the mirror has no program of the AWS provider: %v", err)
		}
		version := filepath.Base(filepath.Dir(filepath.Dir(programs[0])))
		standin.Pack(t, mirror, aws, version, programs[0])
		templates = append(templates, needsAWS)
	}
	fillColdCache(t, "", mirror, templates...)
}

// fillColdCache has eight builds at once fill an empty cache, with one program, or with
// what is on PATH. Two of them come without the lock file that their import left.
func fillColdCache(t *testing.T, program, mirror string, templates ...string) {
	t.Helper()
	rounds, err := strconv.Atoi(cmp.Or(os.Getenv("ADIT_TEST_COLD_ROUNDS"), coldRounds))
	if err != nil {
		t.Fatal(err)
	}
	c := newCoordinator(t)
	provisioner := func(dir string) (stop func()) {
		cfg := c.config(dir)
		cfg.Terraform.Exec, cfg.Terraform.Mirrors = program, []string{mirror}
		return start(t, cfg)
	}
	// What the imports of the templates left is what most builds come with.
	locks := make([][]byte, len(templates))
	stop := provisioner(t.TempDir())
	for i, template := range templates {
		id := fmt.Sprintf("import%d", i)
		c.order(id, template, anImport)
		locks[i] = c.succeed(id).GetTemplate().GetLockFile()
	}
	stop()
	c.awaitLeft()
	for round := range rounds {
		dir := filepath.Join(t.TempDir(), "data")
		stop := provisioner(dir)
		took := eight(func(i int) {
			id, of := fmt.Sprintf("b%d.%d", round, i), i%len(templates)
			c.order(id, templates[of], func(j *provisionerv1.Job) {
				if i < 6 {
					j.LockFile = locks[of]
				}
			})
			if r := c.result(id); r.GetStatus() != provisionerv1.Result_SUCCEEDED {
				t.Errorf("round %d, build %d: %s\n%s", round, i, r.GetError(), strings.Join(c.log(id), "\n"))
			}
		})
		t.Logf("round %d: eight builds in %v", round, took)
		stop()
		c.awaitLeft()
		// They came by the cache, which is not empty now.
		for _, owner := range []string{"one", "two"} {
			if _, err := os.Stat(filepath.Join(dir, "terraform", "cache", "example.com", owner, "adit", "1.0.0")); err != nil {
				t.Error(err)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

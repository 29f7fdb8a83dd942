package main

import (
	"fmt"
)

// template makes things outside: files, each in two steps. Terraform writes a
// resource down when it is made, commands included: of one that is killed in its
// local-exec it knows nothing afterwards. So a claim is written down first, and
// it is the claim whose end removes the thing, whether or not that was made.
func (c *chaos) template(version int) string {
	const head = `
terraform {
  required_providers {
    adit = {
      source = "adit/adit"
    }
  }
}

data "adit_workspace" "me" {}

data "adit_parameter" "extra" {
  name    = "extra"
  type    = "number"
  default = "1"
  mutable = true
}

locals {
  here = "%s/${data.adit_workspace.me.id}"
  on   = data.adit_workspace.me.start_count
}

resource "adit_agent" "main" {
  name = "main"
}

`
	const process = `
resource "adit_home" "main" {}

resource "adit_process" "main" {
  count      = local.on
  agent_id   = adit_agent.main.id
  token      = adit_agent.main.token
  home       = adit_home.main.path
  depends_on = [terraform_data.disk]
}
`
	const thing = `
resource "terraform_data" "claim_%[1]s" {
  count      = %[2]s
  input      = "${local.here}.%[1]s.${count.index}"
  depends_on = [%[3]s]

  provisioner "local-exec" {
    when    = destroy
    command = "sleep 0.1; rm -f '${self.input}'; sleep 0.1"
  }
}

resource "terraform_data" "%[1]s" {
  count = %[2]s
  input = terraform_data.claim_%[1]s[count.index].input

  provisioner "local-exec" {
    command = "sleep 0.1; : > '${self.input}'; sleep 0.1"
  }
}
`
	text := fmt.Sprintf(head, c.outside) +
		fmt.Sprintf(thing, "disk", "1", "adit_agent.main") +
		fmt.Sprintf(thing, "machine", "local.on", "terraform_data.disk") +
		fmt.Sprintf(thing, "extra", "local.on * tonumber(data.adit_parameter.extra.value)", "terraform_data.machine")
	if c.onHost {
		text += process
	}
	if version > 1 {
		text += fmt.Sprintf(thing, "cache", "1", "terraform_data.disk")
	}
	return text
}

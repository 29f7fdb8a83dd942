terraform {
  required_providers {
    adit = {
      source = "adit/adit"
    }
  }
}

data "adit_workspace" "me" {}

resource "adit_agent" "main" {
  name = "main"
}

resource "adit_home" "main" {}

resource "adit_process" "main" {
  count    = data.adit_workspace.me.start_count
  agent_id = adit_agent.main.id
  token    = adit_agent.main.token
  home     = adit_home.main.path
}

# A workspace on the provisioner's own host: the agent is a process there, and
# the home directory stays while the workspace is stopped.
#
# The process is the provisioner's user. Offer this template only to people who
# may sign in on that host anyway.

terraform {
  required_providers {
    adit = {
      source = "adit/adit"
    }
  }
}

data "adit_workspace" "me" {}

data "adit_parameter" "repository" {
  name         = "repository"
  display_name = "Git repository"
  description  = "Cloned into the home directory on the first start; nothing if empty."
  default      = ""
  mutable      = true

  validation {
    regex = "^((https?|ssh|git)://[^[:space:]']+|[A-Za-z0-9_.-]+@[^[:space:]':]+:[^[:space:]']+)?$"
    error = "a URL that git can clone"
  }
}

resource "adit_agent" "main" {
  name = "main"

  startup_script = <<-EOT
    repository='${data.adit_parameter.repository.value}'
    [ -n "$repository" ] || exit 0
    directory=$HOME/$(basename "$repository" .git)
    [ -e "$directory" ] || git clone "$repository" "$directory"
  EOT

  metadata {
    key          = "disk"
    display_name = "Disk used by the home directory"
    script       = "du -sh \"$HOME\" | cut -f1"
    interval     = 300
  }
}

# Persistent: it goes when the workspace is deleted.
resource "adit_home" "main" {}

# Ephemeral: there is none while the workspace is stopped.
resource "adit_process" "main" {
  count    = data.adit_workspace.me.start_count
  agent_id = adit_agent.main.id
  token    = adit_agent.main.token
  home     = adit_home.main.path
}

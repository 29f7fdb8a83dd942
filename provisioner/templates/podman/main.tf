# A workspace in a container of Podman on the provisioner's host. The volume with
# the home directory stays while the workspace is stopped; all else in the
# container is made anew by each start.
#
# Who may write to the engine's socket is root on that host, and so is whoever may
# push templates to this provisioner.

terraform {
  required_providers {
    adit = {
      source = "adit/adit"
    }
  }
}

variable "image" {
  description = "The image, with a /bin/sh and whatever people work with."
  default     = "docker.io/library/debian:bookworm"
}

variable "engine" {
  description = "The socket of Podman; where it usually is, if left out."
  type        = string
  default     = null
}

variable "network" {
  description = "The engine's network; its own choice if left out."
  type        = string
  default     = null
}

variable "ulimits" {
  description = "Limits of each process, for hosts on which the engine's own do not work."
  type        = map(number)
  default     = {}
}

data "adit_workspace" "me" {}

data "adit_parameter" "cpus" {
  name         = "cpus"
  display_name = "Cores"
  type         = "number"
  default      = "2"
  mutable      = true

  validation {
    min = 1
    max = 16
  }
}

data "adit_parameter" "memory" {
  name         = "memory"
  display_name = "Memory in GiB"
  type         = "number"
  default      = "4"
  mutable      = true

  validation {
    min = 1
    max = 64
  }
}

resource "adit_agent" "main" {
  name = "main"

  metadata {
    key          = "disk"
    display_name = "Disk used by the home directory"
    script       = "du -sh \"$HOME\" | cut -f1"
    interval     = 300
  }
}

# Persistent: it goes when the workspace is deleted.
resource "adit_volume" "home" {
  name   = "home"
  engine = var.engine
}

# Ephemeral: there is none while the workspace is stopped.
resource "adit_container" "main" {
  count     = data.adit_workspace.me.start_count
  agent_id  = adit_agent.main.id
  token     = adit_agent.main.token
  image     = var.image
  engine    = var.engine
  network   = var.network
  home      = "/home/dev"
  cpus      = data.adit_parameter.cpus.value
  memory    = data.adit_parameter.memory.value * 1024
  processes = 4096

  mount {
    volume = adit_volume.home.id
    path   = "/home/dev"
  }

  dynamic "ulimit" {
    for_each = var.ulimits
    content {
      name = ulimit.key
      soft = ulimit.value
      hard = ulimit.value
    }
  }
}

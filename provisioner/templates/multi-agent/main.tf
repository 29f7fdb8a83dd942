# A workspace of two containers of Podman, each with an agent: one to work in, and one
# that keeps what is to go on while the first is made anew, such as a database. They
# are reached as WORKSPACE.main and WORKSPACE.data.
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
  description = "The image that people work in, with a /bin/sh."
  default     = "docker.io/library/debian:bookworm"
}

variable "data_image" {
  description = "The image of the container with the data, with a /bin/sh."
  default     = "docker.io/library/postgres:16"
}

variable "engine" {
  description = "The socket of Podman or Docker; where it usually is, if left out."
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

locals {
  # What there is for each agent. Another line is another agent.
  containers = {
    main = { image = var.image, home = "/home/dev" }
    data = { image = var.data_image, home = "/var/lib/data" }
  }
}

resource "adit_agent" "each" {
  for_each = local.containers
  name     = each.key
}

# Persistent: they go when the workspace is deleted.
resource "adit_volume" "each" {
  for_each = local.containers
  name     = each.key
  engine   = var.engine
}

# Ephemeral: there are none while the workspace is stopped.
resource "adit_container" "each" {
  for_each = data.adit_workspace.me.start_count == 1 ? local.containers : {}
  agent_id = adit_agent.each[each.key].id
  token    = adit_agent.each[each.key].token
  image    = each.value.image
  engine   = var.engine
  network  = var.network
  home     = each.value.home

  mount {
    volume = adit_volume.each[each.key].id
    path   = each.value.home
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

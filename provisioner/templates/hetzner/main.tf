# A workspace on a server of Hetzner Cloud. A server that is off costs as much as one
# that is on, so stop deletes it; a volume with what people work on stays.
#
# Nothing comes in: the agent reaches out, and people reach it through the mesh.

terraform {
  required_providers {
    adit = {
      source = "adit/adit"
    }
    hcloud = {
      source  = "hetznercloud/hcloud"
      version = "~> 1.45"
    }
  }
}

variable "image" {
  description = "The image, with systemd, cloud-init, and curl or wget."
  default     = "debian-12"
}

data "adit_workspace" "me" {}

data "adit_parameter" "location" {
  name         = "location"
  display_name = "Location"
  default      = "fsn1"

  option {
    name  = "Falkenstein"
    value = "fsn1"
  }
  option {
    name  = "Helsinki"
    value = "hel1"
  }
  option {
    name  = "Ashburn"
    value = "ash"
  }
}

data "adit_parameter" "server_type" {
  name         = "server_type"
  display_name = "Size"
  description  = "A name of Hetzner's, such as cpx21. Which there are depends on the location."
  default      = "cpx21"
  mutable      = true

  validation {
    regex = "^[a-z]+[0-9]+$"
    error = "a server type of Hetzner Cloud"
  }
}

data "adit_parameter" "disk" {
  name         = "disk"
  display_name = "Volume in GB"
  type         = "number"
  default      = "20"

  validation {
    min = 10
    max = 1000
  }
}

locals {
  name   = "adit-${data.adit_workspace.me.id}"
  labels = { adit_workspace = data.adit_workspace.me.id }
  # Where Hetzner's images mount a volume.
  kept = "/mnt/HC_Volume_${hcloud_volume.work.id}"
}

resource "adit_agent" "main" {
  name      = "main"
  directory = local.kept

  # The volume comes after the server.
  startup_script              = "until mountpoint -q ${local.kept}; do sleep 1; done"
  startup_script_timeout      = 300
  startup_script_blocks_login = true

  metadata {
    key          = "disk"
    display_name = "Volume used"
    script       = "df -h ${local.kept} | awk 'NR == 2 { print $5 }'"
    interval     = 300
  }
}

# Persistent: it goes when the workspace is deleted.
resource "hcloud_volume" "work" {
  name     = local.name
  size     = data.adit_parameter.disk.value
  location = data.adit_parameter.location.value
  format   = "ext4"
  labels   = local.labels
}

# Without rules for what comes in, nothing does.
resource "hcloud_firewall" "main" {
  name   = local.name
  labels = local.labels
}

# Ephemeral: there is none while the workspace is stopped.
resource "hcloud_server" "main" {
  count        = data.adit_workspace.me.start_count
  name         = local.name
  server_type  = data.adit_parameter.server_type.value
  image        = var.image
  location     = data.adit_parameter.location.value
  user_data    = adit_agent.main.cloud_init
  firewall_ids = [hcloud_firewall.main.id]
  labels       = local.labels
}

resource "hcloud_volume_attachment" "main" {
  count     = data.adit_workspace.me.start_count
  volume_id = hcloud_volume.work.id
  server_id = hcloud_server.main[0].id
  automount = true
}

# A workspace on an instance of Compute Engine. Its disk stays while the workspace is
# stopped, and costs what disks cost; the instance is stopped, and costs nothing.
#
# No port of it is open: the agent reaches out, and people reach it through the mesh.
# No secret is in its metadata: the agent proves which instance it runs on.

terraform {
  required_providers {
    adit = {
      source = "adit/adit"
    }
    google = {
      source  = "hashicorp/google"
      version = ">= 5.0"
    }
  }
}

variable "project" {
  description = "The project that instances are made in."
  type        = string
}

variable "zone" {
  description = "The zone of all workspaces."
  default     = "europe-west3-a"
}

variable "network" {
  description = "The network, from which the coordinator can be reached."
  default     = "default"
}

variable "subnetwork" {
  description = "The subnetwork; the network's own of the region if left out."
  type        = string
  default     = null
}

variable "image" {
  description = "The image, with systemd and cloud-init."
  default     = "ubuntu-os-cloud/ubuntu-2404-lts-amd64"
}

variable "service_account" {
  description = "E-mail address of the service account that instances are; the project's default one if left out. It needs no role: the agent proves by it which instance it is."
  type        = string
  default     = null
}

provider "google" {
  project = var.project
  zone    = var.zone
}

data "adit_workspace" "me" {}

data "adit_parameter" "machine_type" {
  name         = "machine_type"
  display_name = "Size"
  default      = "e2-medium"
  mutable      = true

  option {
    name  = "2 shared cores, 4 GiB"
    value = "e2-medium"
  }
  option {
    name  = "4 cores, 16 GiB"
    value = "e2-standard-4"
  }
  option {
    name  = "8 cores, 32 GiB"
    value = "e2-standard-8"
  }
}

data "adit_parameter" "disk" {
  name         = "disk"
  display_name = "Disk in GB"
  type         = "number"
  default      = "30"

  validation {
    min = 10
    max = 1000
  }
}

resource "adit_agent" "main" {
  name = "main"
  auth = "google-instance-identity"

  metadata {
    key          = "disk"
    display_name = "Disk used"
    script       = "df -h / | awk 'NR == 2 { print $5 }'"
    interval     = 300
  }
}

# Persistent: it goes when the workspace is deleted. It runs while the workspace does.
resource "google_compute_instance" "main" {
  name                      = "adit-${data.adit_workspace.me.id}"
  machine_type              = data.adit_parameter.machine_type.value
  zone                      = var.zone
  desired_status            = data.adit_workspace.me.start_count == 1 ? "RUNNING" : "TERMINATED"
  allow_stopping_for_update = true

  boot_disk {
    initialize_params {
      image = var.image
      size  = data.adit_parameter.disk.value
      type  = "pd-balanced"
    }
  }

  network_interface {
    network    = var.network
    subnetwork = var.subnetwork

    access_config {} # an address of its own, for direct paths
  }

  metadata = {
    user-data              = adit_agent.main.cloud_init
    block-project-ssh-keys = "true"
  }

  service_account {
    email  = var.service_account
    scopes = ["userinfo-email"]
  }

  shielded_instance_config {
    enable_secure_boot = true
  }

  labels = {
    adit_workspace = data.adit_workspace.me.id
  }

  # A newer image is for new workspaces: a change makes another instance, with an
  # empty disk.
  lifecycle {
    ignore_changes = [boot_disk[0].initialize_params[0].image]
  }
}

resource "adit_agent_instance" "main" {
  agent_id    = adit_agent.main.id
  instance_id = google_compute_instance.main.instance_id
}

# A workspace is a pod with a volume claim for its home directory. The claim stays
# while the workspace is stopped; the pod is made anew by each start.
#
# The pod runs as a user without rights and has no account at the cluster. No service
# and no ingress lead to it: the agent reaches out, and people reach it through the mesh.

terraform {
  required_providers {
    adit = {
      source = "adit/adit"
    }
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = ">= 2.20"
    }
  }
}

variable "namespace" {
  description = "The namespace of all workspaces, which exists."
  default     = "workspaces"
}

variable "kubeconfig" {
  description = "The file that says how to reach the cluster; the provisioner's own service account if left out."
  type        = string
  default     = null
}

variable "image" {
  description = "The image, with a shell, curl or wget, and whatever people work with."
  default     = "docker.io/library/buildpack-deps:bookworm-scm"
}

variable "storage_class" {
  description = "The class of the volumes; the cluster's own if left out."
  type        = string
  default     = null
}

variable "node_selector" {
  description = "Labels of the nodes that workspaces run on."
  type        = map(string)
  default     = {}
}

provider "kubernetes" {
  config_path = var.kubeconfig
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

data "adit_parameter" "disk" {
  name         = "disk"
  display_name = "Home directory in GiB"
  type         = "number"
  default      = "20"

  validation {
    min = 1
    max = 500
  }
}

locals {
  name = "adit-${data.adit_workspace.me.id}"
  labels = {
    "app.kubernetes.io/name"       = "adit-workspace"
    "app.kubernetes.io/instance"   = local.name
    "app.kubernetes.io/managed-by" = "adit"
  }
  home = "/home/dev"
  user = 1000
}

resource "adit_agent" "main" {
  name = "main"

  metadata {
    key          = "disk"
    display_name = "Disk used by the home directory"
    script       = "df -h \"$HOME\" | awk 'NR == 2 { print $5 }'"
    interval     = 300
  }
}

# Persistent: it goes when the workspace is deleted.
resource "kubernetes_persistent_volume_claim_v1" "home" {
  metadata {
    name      = "${local.name}-home"
    namespace = var.namespace
    labels    = local.labels
  }

  spec {
    access_modes       = ["ReadWriteOnce"]
    storage_class_name = var.storage_class

    resources {
      requests = {
        storage = "${data.adit_parameter.disk.value}Gi"
      }
    }
  }

  # Where volumes are made on the node that needs them, there is none until there is
  # a pod.
  wait_until_bound = false
}

resource "kubernetes_secret_v1" "agent" {
  count = data.adit_workspace.me.start_count

  metadata {
    name      = local.name
    namespace = var.namespace
    labels    = local.labels
  }

  data = {
    token = adit_agent.main.token
  }
}

# Ephemeral: there is none while the workspace is stopped.
resource "kubernetes_pod_v1" "main" {
  count = data.adit_workspace.me.start_count

  metadata {
    name      = local.name
    namespace = var.namespace
    labels    = local.labels
  }

  spec {
    node_selector                    = var.node_selector
    automount_service_account_token  = false
    enable_service_links             = false
    termination_grace_period_seconds = 60

    security_context {
      run_as_user     = local.user
      run_as_group    = local.user
      run_as_non_root = true
      fs_group        = local.user

      seccomp_profile {
        type = "RuntimeDefault"
      }
    }

    container {
      name    = "workspace"
      image   = var.image
      command = ["sh", "-c", adit_agent.main.init_script]

      env {
        name  = "HOME"
        value = local.home
      }

      env {
        name = "ADIT_AGENT_TOKEN"

        value_from {
          secret_key_ref {
            name = kubernetes_secret_v1.agent[0].metadata[0].name
            key  = "token"
          }
        }
      }

      security_context {
        allow_privilege_escalation = false

        capabilities {
          drop = ["ALL"]
        }
      }

      resources {
        requests = {
          cpu    = "250m"
          memory = "512Mi"
        }
        limits = {
          cpu    = data.adit_parameter.cpus.value
          memory = "${data.adit_parameter.memory.value}Gi"
        }
      }

      volume_mount {
        name       = "home"
        mount_path = local.home
      }
    }

    volume {
      name = "home"

      persistent_volume_claim {
        claim_name = kubernetes_persistent_volume_claim_v1.home.metadata[0].name
      }
    }
  }
}

# A workspace on an instance of EC2. Its disk stays while the workspace is stopped,
# and costs what disks cost; the instance is stopped, and costs nothing.
#
# No port of it is open: the agent reaches out, and people reach it through the mesh.
# No secret is in its user data: the agent proves which instance it runs on.

terraform {
  required_providers {
    adit = {
      source = "adit/adit"
    }
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.0"
    }
  }
}

variable "region" {
  description = "The region of all workspaces."
  default     = "eu-central-1"
}

variable "subnet_id" {
  description = "The subnet, from which the coordinator can be reached; one of the default VPC's if left out."
  type        = string
  default     = null
}

variable "ami" {
  description = "The image, with systemd and cloud-init; Debian 12 if left out."
  type        = string
  default     = null
}

provider "aws" {
  region = var.region
}

data "adit_workspace" "me" {}

data "adit_parameter" "instance_type" {
  name         = "instance_type"
  display_name = "Size"
  default      = "t3.medium"
  mutable      = true

  option {
    name  = "2 cores, 4 GiB"
    value = "t3.medium"
  }
  option {
    name  = "4 cores, 16 GiB"
    value = "t3.xlarge"
  }
  option {
    name  = "8 cores, 32 GiB"
    value = "m6i.2xlarge"
  }
}

data "adit_parameter" "disk" {
  name         = "disk"
  display_name = "Disk in GiB"
  type         = "number"
  default      = "30"

  validation {
    min = 10
    max = 1000
  }
}

data "aws_ami" "debian" {
  count       = var.ami == null ? 1 : 0
  most_recent = true
  owners      = ["136693071363"] # Debian's own account

  filter {
    name   = "name"
    values = ["debian-12-amd64-*"]
  }
}

data "aws_subnet" "chosen" {
  count = var.subnet_id == null ? 0 : 1
  id    = var.subnet_id
}

resource "adit_agent" "main" {
  name = "main"
  auth = "aws-instance-identity"

  metadata {
    key          = "disk"
    display_name = "Disk used"
    script       = "df -h / | awk 'NR == 2 { print $5 }'"
    interval     = 300
  }
}

resource "aws_security_group" "main" {
  name_prefix = "adit-${data.adit_workspace.me.name}-"
  description = "A workspace: nothing comes in"
  vpc_id      = one(data.aws_subnet.chosen[*].vpc_id)

  egress {
    from_port        = 0
    to_port          = 0
    protocol         = "-1"
    cidr_blocks      = ["0.0.0.0/0"]
    ipv6_cidr_blocks = ["::/0"]
  }
}

# Persistent: it goes when the workspace is deleted.
resource "aws_instance" "main" {
  ami                    = coalesce(var.ami, one(data.aws_ami.debian[*].id))
  instance_type          = data.adit_parameter.instance_type.value
  subnet_id              = var.subnet_id
  vpc_security_group_ids = [aws_security_group.main.id]
  user_data              = adit_agent.main.cloud_init

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1 # not from containers in it
  }

  root_block_device {
    volume_size = data.adit_parameter.disk.value
    volume_type = "gp3"
    encrypted   = true
  }

  tags = {
    Name           = "adit-${data.adit_workspace.me.owner}-${data.adit_workspace.me.name}"
    adit_workspace = data.adit_workspace.me.id
  }

  # A newer image or agent is for new workspaces: a change of these makes another
  # instance, with an empty disk.
  lifecycle {
    ignore_changes = [ami, user_data]
  }
}

# It runs while the workspace does.
resource "aws_ec2_instance_state" "main" {
  instance_id = aws_instance.main.id
  state       = data.adit_workspace.me.start_count == 1 ? "running" : "stopped"
}

resource "adit_agent_instance" "main" {
  agent_id    = adit_agent.main.id
  instance_id = aws_instance.main.id
}

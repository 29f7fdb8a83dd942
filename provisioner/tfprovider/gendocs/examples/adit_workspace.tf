data "adit_workspace" "me" {}

resource "docker_container" "workspace" {
  count = data.adit_workspace.me.start_count
  name  = "adit-${data.adit_workspace.me.id}"
  image = "debian:stable"
}

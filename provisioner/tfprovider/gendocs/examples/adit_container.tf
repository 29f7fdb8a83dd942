# Ephemeral: there is none while the workspace is stopped.
resource "adit_container" "main" {
  count     = data.adit_workspace.me.start_count
  agent_id  = adit_agent.main.id
  token     = adit_agent.main.token
  image     = "registry.example.com/team/dev:1"
  home      = "/home/dev"
  cpus      = 2
  memory    = 4096
  processes = 4096

  mount {
    volume = adit_volume.home.id
    path   = "/home/dev"
  }

  registry {
    username = "team"
    password = var.registry_token
  }
}

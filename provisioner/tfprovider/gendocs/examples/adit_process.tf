# Ephemeral: there is none while the workspace is stopped.
resource "adit_process" "main" {
  count    = data.adit_workspace.me.start_count
  agent_id = adit_agent.main.id
  token    = adit_agent.main.token
  home     = adit_home.main.path
}

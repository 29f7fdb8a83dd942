resource "adit_app" "editor" {
  agent_id     = adit_agent.main.id
  slug         = "editor"
  display_name = "Editor"
  url          = "http://localhost:8080"
  subdomain    = true
  share        = "owner"
}

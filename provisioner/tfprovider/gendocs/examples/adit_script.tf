resource "adit_script" "cleanup" {
  agent_id = adit_agent.main.id
  name     = "Clean up caches"
  script   = "docker system prune --force"
  run_on   = "0 4 * * *"
  timeout  = 600
}

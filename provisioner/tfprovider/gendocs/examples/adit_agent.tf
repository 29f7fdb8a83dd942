resource "adit_agent" "main" {
  name      = "main"
  directory = "~/project"

  env = {
    EDITOR = "vim"
  }

  startup_script              = "make -C ~/project deps"
  startup_script_blocks_login = true

  metadata {
    key          = "load"
    display_name = "Load"
    script       = "cut -d' ' -f1 /proc/loadavg"
    interval     = 30
  }
}

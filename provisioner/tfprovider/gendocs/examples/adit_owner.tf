data "adit_owner" "me" {}

resource "adit_agent" "main" {
  name = "main"
  env = {
    GIT_AUTHOR_NAME  = data.adit_owner.me.name
    GIT_AUTHOR_EMAIL = data.adit_owner.me.email
  }
}

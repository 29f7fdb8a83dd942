# Persistent: there is no count.
resource "adit_home" "main" {}

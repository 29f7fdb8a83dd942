# Persistent: there is no count.
resource "adit_volume" "home" {
  name = "home"
}

resource "adit_metadata" "disk" {
  resource_id = docker_volume.home.id

  item {
    key   = "size"
    value = "20 GiB"
  }
}

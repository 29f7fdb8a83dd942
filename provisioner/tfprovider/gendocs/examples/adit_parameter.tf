data "adit_parameter" "cpus" {
  name    = "cpus"
  type    = "number"
  default = "2"
  mutable = true

  validation {
    min = 1
    max = 8
  }
}

data "adit_parameter" "region" {
  name         = "region"
  display_name = "Region"
  description  = "Where the workspace is; it cannot be moved later."

  option {
    name  = "Europe"
    value = "eu"
  }
  option {
    name  = "America"
    value = "us"
  }
}

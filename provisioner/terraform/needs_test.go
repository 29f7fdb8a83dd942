package terraform

import "testing"

func TestWhatIsNotLocked(t *testing.T) {
	const lock = `provider "registry.terraform.io/hashicorp/aws" {
  version = "6.0.0"
}

provider "example.com/one/slow" {
  version = "1.0.0"
}
`
	requires := func(source string) string {
		return "terraform {\n  required_providers {\n    one = { source = \"" + source + "\" }\n  }\n}\n"
	}
	for name, c := range map[string]struct {
		main string
		tofu bool
		want bool
	}{
		"nothing":                      {"", false, false},
		"ours":                         {requires("adit/adit"), false, false},
		"ours by another registry":     {requires("registry.opentofu.org/adit/adit"), false, true},
		"ours for OpenTofu":            {requires("adit/adit"), true, false},
		"built in":                     {"resource \"terraform_data\" \"x\" {}\n" + requires("terraform.io/builtin/terraform"), false, false},
		"of another host":              {requires("example.com/one/slow"), false, false},
		"of another host, not there":   {requires("example.com/one/other"), false, true},
		"in full":                      {requires("registry.terraform.io/hashicorp/aws"), false, false},
		"by its namespace":             {requires("Hashicorp/AWS"), false, false},
		"by its type":                  {requires("aws"), false, false},
		"by a resource":                {"resource \"aws_vpc\" \"x\" {}\n", false, false},
		"by a resource, not there":     {"resource \"google_vpc\" \"x\" {}\n", false, true},
		"locked for the other program": {requires("hashicorp/aws"), true, true},
		"in a module":                  {"module \"m\" { source = \"./inner\" }\n", false, true},
		"in a module from elsewhere":   {"module \"m\" { source = \"example/m/aws\" }\n", false, false},
		"in a module within itself":    {"module \"m\" { source = \"./\" }\n", false, false},
	} {
		b := &bench{T: t, dir: t.TempDir()}
		b.files(map[string]string{"main.tf": c.main, "inner/main.tf": requires("example.com/one/other")})
		r := &Run{cfg: RunConfig{Dir: b.dir}, exec: binary{tofu: c.tofu}}
		if got := r.filesBeyond(r.locked([]byte(lock))); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

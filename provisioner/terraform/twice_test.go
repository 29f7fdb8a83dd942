package terraform

import "testing"

func TestWhoHasAnothersNameIsToldWithItsPlace(t *testing.T) {
	b := newBench(t)
	b.files(map[string]string{"main.tf": `
terraform {
  required_providers {
    adit = { source = "adit/adit" }
  }
}
resource "adit_agent" "main" { name = "main" }
data "adit_parameter" "size" {
  name    = "size"
  default = "1"
}
data "adit_parameter" "again" {
  name    = "size"
  default = "2"
}
module "vm" { source = "./vm" }
`, "vm/agents.tf": `terraform {
  required_providers {
    adit = { source = "adit/adit" }
  }
}

resource "adit_agent" "inner" { name = "main" }
`})
	r := b.run()
	err := r.Unique(b.plan(r, false))
	if err == nil {
		t.Fatal("nothing was found")
	}
	places := make(map[string]uint32)
	for _, p := range r.Problems() {
		places[p.GetSummary()+" in "+p.GetFile()] = p.GetLine()
	}
	for what, line := range map[string]uint32{
		`Two agents are called "main" in vm/agents.tf`: 7,
		`Two parameters are called "size" in main.tf`:  12,
	} {
		if places[what] != line {
			t.Errorf("%s: line %d, want %d; there is %v", what, places[what], line, places)
		}
	}
}

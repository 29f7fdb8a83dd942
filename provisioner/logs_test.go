package provisioner

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A connection breaks with lines on their way, of which nobody knows whether they
// arrived: each is there once, and in its place.
func TestNoLineIsLostOrToldTwiceWhenTheConnectionBreaks(t *testing.T) {
	const lines = 3000
	c := newCoordinator(t)
	start(t, c.config(t.TempDir()))
	c.order("b1", fmt.Sprintf(`
resource "terraform_data" "x" {
  provisioner "local-exec" { command = "for i in $(seq %d); do echo line $i; [ $((i %% 50)) != 0 ] || sleep 0.05; done" }
}
`, lines), nil)
	for i := range 5 {
		c.awaitLog("b1", fmt.Sprintf("line %d", 1+i*lines/6))
		c.mute.Store(2)
		c.awaitLog("b1", fmt.Sprintf("line %d", 100+i*lines/6))
		c.leave()
		c.comeBack()
	}
	c.succeed("b1")
	var got, want []string
	for _, l := range c.log("b1") {
		if _, line, ok := strings.Cut(l, "(local-exec): line "); ok {
			got = append(got, line)
		}
	}
	for i := range lines {
		want = append(want, strconv.Itoa(i+1))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d lines came of %d; the last was %q", len(got), lines, c.log("b1")[len(c.log("b1"))-1])
	}
}

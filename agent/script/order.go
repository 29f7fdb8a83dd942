package script

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aditmesh/adit/pkg/sdk"
)

// faults returns what is wrong with the order that scripts want among themselves,
// by their position: what a script runs after has to be among them, and none may
// wait for itself.
func faults(scripts []sdk.Script) map[int]string {
	byName := make(map[string][]int)
	for i, s := range scripts {
		byName[s.Name] = append(byName[s.Name], i)
	}
	wrong := make(map[int]string)
	for i, s := range scripts {
		for _, name := range s.RunAfter {
			if byName[name] == nil {
				wrong[i] = fmt.Sprintf("it runs after %q, and there is no such script that runs on %s", name, s.RunOn)
			}
		}
	}
	const (
		unseen = iota
		open   // on the way from where the search began
		done
	)
	state := make([]int, len(scripts))
	var way []int
	var visit func(i int)
	visit = func(i int) {
		state[i] = open
		way = append(way, i)
		for _, name := range scripts[i].RunAfter {
			for _, j := range byName[name] {
				switch state[j] {
				case unseen:
					visit(j)
				case open:
					ring := way[slices.Index(way, j):]
					names := make([]string, 0, len(ring)+1)
					for _, k := range append(slices.Clone(ring), j) {
						names = append(names, scripts[k].Name)
					}
					for _, k := range ring {
						wrong[k] = "scripts that run after each other: " + strings.Join(names, " after ")
					}
				}
			}
		}
		way = way[:len(way)-1]
		state[i] = done
	}
	for i := range scripts {
		if state[i] == unseen {
			visit(i)
		}
	}
	return wrong
}

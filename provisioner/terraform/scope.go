package terraform

import "strings"

// scope is a module as it is called at one place.
type scope struct {
	configuration
	key            string // as init names it
	prefix         string // of the addresses in it
	blocks, values map[string]block
	places         map[string]place
	outer          *scope // the caller's; nil for the root
	call           string // what the caller calls it
	inner          map[string]*scope
}

// reference is a name in the module whose addresses have that prefix.
type reference struct{ prefix, name string }

// scope returns the module with a key; nil if init did not find it.
func (c configuration) scope(key, call string, outer *scope) *scope {
	dir, ok := c.dir(key)
	if !ok {
		return nil
	}
	s := &scope{configuration: c, key: key, outer: outer, call: call, inner: make(map[string]*scope)}
	if outer != nil {
		s.prefix = outer.prefix + "module." + call + "."
	}
	s.blocks, s.values, s.places = readBlocks(dir)
	return s
}

// enter returns the module that is called by a name; nil if init did not find it.
func (s *scope) enter(call string) *scope {
	inner, ok := s.inner[call]
	if !ok {
		inner = s.scope(strings.TrimPrefix(s.key+"."+call, "."), call, s)
		s.inner[call] = inner
	}
	return inner
}

// resolve follows a reference through locals, variables and outputs to all that
// its value may come from.
func (s *scope) resolve(name string) []reference {
	return s.follow(name, make(map[reference]bool))
}

func (s *scope) follow(name string, seen map[reference]bool) (all []reference) {
	at := reference{s.prefix, name}
	if seen[at] {
		return nil
	}
	seen[at] = true
	parts := strings.SplitN(name, ".", 4)
	in, refs := s, []string(nil)
	switch {
	case parts[0] == "local" && len(parts) > 1:
		refs = s.values["locals"][parts[1]]
	case parts[0] == "var" && len(parts) > 1 && s.outer != nil:
		in, refs = s.outer, s.outer.blocks["module."+s.call][parts[1]]
	case parts[0] == "module" && len(parts) > 2:
		if in = s.enter(parts[1]); in != nil {
			refs = in.values["output."+parts[2]]["value"]
		}
	default:
		return []reference{at}
	}
	for _, ref := range refs {
		all = append(all, in.follow(ref, seen)...)
	}
	return all
}

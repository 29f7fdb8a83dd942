package terraform

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// Planned returns what will be there once a plan is applied.
func Planned(plan *Plan) ([]*provisionerv1.Resource, []*provisionerv1.Agent) {
	return found(plan.After, plan.links)
}

// Present returns what a state holds, with what its plan knew of dependencies.
func Present(state *tfjson.StateModule, plan *Plan) ([]*provisionerv1.Resource, []*provisionerv1.Agent) {
	return found(state, plan.links)
}

// Values returns the values of an attribute in all resources of a type that a
// module and those within it hold.
func Values(root *tfjson.StateModule, kind, attribute string) (values []string) {
	for r := range everyResource(root) {
		if r.Mode == tfjson.ManagedResourceMode && r.Type == kind {
			values = append(values, attributes(r.AttributeValues).text(attribute))
		}
	}
	return values
}

// DailyCost is what all that a module and those within it hold costs a day.
func DailyCost(root *tfjson.StateModule) uint32 {
	var sum float64
	for r := range everyResource(root) {
		if r.Mode == tfjson.ManagedResourceMode && r.Type == "adit_metadata" {
			sum += max(0, attributes(r.AttributeValues).number("daily_cost"))
		}
	}
	return uint32(min(sum, maxDailyCost))
}

// maxDailyCost bounds what a workspace costs: no quota is larger.
const maxDailyCost = 1_000_000_000

// found reads values with the configuration they come from.
func found(root *tfjson.StateModule, links *links) ([]*provisionerv1.Resource, []*provisionerv1.Agent) {
	var managed, notes []*tfjson.StateResource
	for r := range everyResource(root) {
		if r.Mode != tfjson.ManagedResourceMode {
			continue
		}
		if r.Type == "adit_metadata" {
			notes = append(notes, r)
		} else {
			managed = append(managed, r)
		}
	}
	cast := newCast(managed, links)
	var resources []*provisionerv1.Resource
	for _, r := range managed {
		if belongsToAgent(r.Type) {
			continue
		}
		resources = append(resources, &provisionerv1.Resource{
			Address: r.Address, Type: r.Type, Name: r.Name,
			Ephemeral: links.ephemeral[plain(r.Address)],
			Agents:    cast.on(r),
			Metadata:  metadataOf(r, notes, links),
		})
	}
	return resources, cast.agents
}

// belongsToAgent reports whether a type is a part of an agent's manifest.
func belongsToAgent(kind string) bool {
	return kind == "adit_agent" || kind == "adit_agent_instance" || kind == "adit_app" || kind == "adit_port" || kind == "adit_script"
}

// cast are the agents, and how to find them.
type cast struct {
	agents []*provisionerv1.Agent
	byID   map[string]*provisionerv1.Agent
	byAddr map[string][]*provisionerv1.Agent // by address without an instance's key
	links  *links
}

func newCast(managed []*tfjson.StateResource, links *links) *cast {
	c := &cast{byID: make(map[string]*provisionerv1.Agent), byAddr: make(map[string][]*provisionerv1.Agent), links: links}
	for _, r := range managed {
		if r.Type != "adit_agent" {
			continue
		}
		a := agent(r)
		c.agents = append(c.agents, a)
		c.byAddr[plain(r.Address)] = append(c.byAddr[plain(r.Address)], a)
		if id := attributes(r.AttributeValues).text("id"); id != "" {
			c.byID[id] = a
		}
	}
	for _, r := range managed {
		v := attributes(r.AttributeValues)
		for _, a := range c.of(r) {
			switch r.Type {
			case "adit_agent_instance":
				a.InstanceId = v.text("instance_id")
			case "adit_script":
				a.Scripts = append(a.Scripts, script(r.Name, v))
			case "adit_app":
				a.Apps = append(a.Apps, app(r.Name, v))
			case "adit_port":
				a.Ports = append(a.Ports, port(v))
			}
		}
	}
	return c
}

// of returns the agents that a script or an app belongs to: the one with the id
// it names, or while that is not known those that it refers to.
func (c *cast) of(r *tfjson.StateResource) []*provisionerv1.Agent {
	if r.Type == "adit_agent" || !belongsToAgent(r.Type) {
		return nil
	}
	if id := attributes(r.AttributeValues).text("agent_id"); id != "" {
		if a := c.byID[id]; a != nil {
			return []*provisionerv1.Agent{a}
		}
	}
	var all []*provisionerv1.Agent
	for _, ref := range c.links.refers[plain(r.Address)] {
		all = append(all, c.byAddr[ref]...)
	}
	return all
}

// on returns the names of the agents that run on a resource: those that it
// refers to, such as by their token.
func (c *cast) on(r *tfjson.StateResource) []string {
	var names []string
	for _, ref := range c.links.refers[plain(r.Address)] {
		for _, a := range c.byAddr[ref] {
			names = append(names, a.GetName())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func agent(r *tfjson.StateResource) *provisionerv1.Agent {
	v := attributes(r.AttributeValues)
	a := &provisionerv1.Agent{
		Name: cmp.Or(v.text("name"), r.Name), Directory: v.text("directory"), Env: v.texts("env"),
		ConnectionTimeoutSeconds: v.seconds("connection_timeout"), Auth: v.text("auth"),
		ForbidFileTransfer: v.yes("forbid_file_transfer"), ForbidForwarding: v.yes("forbid_forwarding"),
	}
	if s := v.text("startup_script"); s != "" {
		a.Scripts = append(a.Scripts, &provisionerv1.Script{
			Name: "startup", Script: s, RunOn: "start",
			BlocksLogin: v.yes("startup_script_blocks_login"), TimeoutSeconds: v.seconds("startup_script_timeout"),
		})
	}
	if s := v.text("shutdown_script"); s != "" {
		a.Scripts = append(a.Scripts, &provisionerv1.Script{
			Name: "shutdown", Script: s, RunOn: "stop", TimeoutSeconds: v.seconds("shutdown_script_timeout"),
		})
	}
	for _, r := range v.blocks("repository") {
		a.Repositories = append(a.Repositories, &provisionerv1.Repository{
			Url: r.text("url"), Ref: r.text("ref"), Directory: r.text("directory"), Depth: r.seconds("depth"), Submodules: r.yes("submodules"), IgnoreTasks: r.yes("ignore_tasks"),
		})
	}
	for _, m := range v.blocks("metadata") {
		a.Metadata = append(a.Metadata, &provisionerv1.AgentMetadata{
			Key: m.text("key"), DisplayName: m.text("display_name"), Script: m.text("script"),
			IntervalSeconds: m.seconds("interval"), TimeoutSeconds: m.seconds("timeout"),
		})
	}
	return a
}

func script(name string, v attributes) *provisionerv1.Script {
	return &provisionerv1.Script{
		Name: cmp.Or(v.text("name"), name), Script: v.text("script"), RunOn: cmp.Or(v.text("run_on"), "start"),
		BlocksLogin: v.yes("blocks_login"), TimeoutSeconds: v.seconds("timeout"),
		RunAfter: v.list("run_after"), Service: v.yes("service"),
	}
}

func app(name string, v attributes) *provisionerv1.App {
	return &provisionerv1.App{
		Slug: cmp.Or(v.text("slug"), name), DisplayName: v.text("display_name"), Url: v.text("url"),
		Subdomain: v.yes("subdomain"), Share: cmp.Or(v.text("share"), "owner"), Command: v.text("command"),
		HealthcheckUrl: v.text("healthcheck_url"), HealthcheckTcp: v.text("healthcheck_tcp"), HealthcheckCommand: v.text("healthcheck_command"),
		HealthcheckIntervalSeconds: v.seconds("healthcheck_interval"), HealthcheckThreshold: v.seconds("healthcheck_threshold"),
	}
}

// port reads "3000" or "3000-3010", which the provider has checked.
func port(v attributes) *provisionerv1.Port {
	first, last, isRange := strings.Cut(v.text("port"), "-")
	if !isRange {
		last = first
	}
	number := func(s string) uint32 {
		n, _ := strconv.ParseUint(s, 10, 16)
		return uint32(n)
	}
	return &provisionerv1.Port{
		First: number(first), Last: number(last), Label: v.text("label"), Protocol: v.text("protocol"),
		OnOpen: cmp.Or(v.text("on_open"), "notify"), Visibility: cmp.Or(v.text("visibility"), "owner"),
	}
}

// metadataOf returns what adit_metadata says about a resource.
func metadataOf(r *tfjson.StateResource, notes []*tfjson.StateResource, links *links) []*provisionerv1.Metadata {
	var all []*provisionerv1.Metadata
	id := attributes(r.AttributeValues).text("id")
	for _, m := range notes {
		v := attributes(m.AttributeValues)
		about := v.text("resource_id")
		if about != "" && about != id || about == "" && !slices.Contains(links.refers[plain(m.Address)], plain(r.Address)) {
			continue
		}
		for _, item := range v.blocks("item") {
			one := &provisionerv1.Metadata{Key: item.text("key"), Value: item.text("value"), Sensitive: item.yes("sensitive")}
			if one.GetSensitive() {
				one.Value = ""
			}
			all = append(all, one)
		}
	}
	return all
}

// resourceOf cuts a reference down to its resource: TYPE.NAME.
func resourceOf(ref string) string {
	parts := strings.SplitN(plain(ref), ".", 3)
	if len(parts) < 2 {
		return ref
	}
	return parts[0] + "." + parts[1]
}

// plain takes the instances' keys out of an address: a.b["x.y"].c is a.b.c.
func plain(address string) string {
	if !strings.Contains(address, "[") {
		return address
	}
	var out strings.Builder
	for rest := address; ; {
		before, after, found := strings.Cut(rest, "[")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		rest = afterKey(after)
	}
}

// afterKey returns what follows the key that s begins with.
func afterKey(s string) string {
	dec := json.NewDecoder(strings.NewReader(s))
	var key any
	if dec.Decode(&key) == nil { // a key is a string or a number, written as in JSON
		s = s[dec.InputOffset():]
	}
	_, after, _ := strings.Cut(s, "]")
	return after
}

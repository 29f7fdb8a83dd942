// Package policy reads and judges the file that says who may reach which workspaces, on
// which protocols and ports.
//
// Its rules are about people, and only take away: what they admit must be shared with
// somebody, too, for them to reach it. Without rules nothing is taken away. Its links are
// about workspaces, which reach each other by them and by nothing else. Its relays say in
// which regions nodes are to be reached, where they have no direct path. Tests inside the
// file say what must come of it; a file whose tests fail is none.
//
//	tags:
//	  database: [alice/db, template:postgres]
//	rules:
//	  - from: ["*"]               # everybody reaches all of their own
//	    to: [me/*]
//	    ports: ["*"]
//	  - from: [group:web, carol]
//	    to: [alice/shop]
//	    ports: [icmp, tcp:22, tcp:8000-8999]
//	links:
//	  - from: [alice/shop]
//	    to: [tag:database]
//	    ports: [tcp:5432]
//	relays:
//	  - people: [group:web]
//	    workspaces: ["*/*"]
//	    regions: [eu, -us]        # pinned, and excluded
//	given:                        # what the tests take for granted
//	  groups: {web: [bob]}
//	  templates: {postgres: [bob/pg]}
//	tests:
//	  - from: bob
//	    to: alice/shop
//	    allow: [tcp:8080]
//	    deny: [tcp:5432]
//	  - from: alice/shop
//	    to: bob/pg
//	    allow: [tcp:5432]
//	  - from: bob
//	    regions: [eu, -us]
//
// A Policy does not change, and may be used concurrently. A nil one takes nothing away and
// links nothing.
package policy

package api

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestFilterIsReadAsPeopleWriteIt(t *testing.T) {
	for q, want := range map[string]map[string]string{
		"":                               {},
		"   ":                            {},
		"owner:me":                       {"owner": "me"},
		"owner:me status:running":        {"owner": "me", "status": "running"},
		" Owner:me\t status:running ":    {"owner": "me", "status": "running"},
		"dev":                            {"name": "dev"},
		"dev status:running":             {"name": "dev", "status": "running"},
		`name:"my dev"`:                  {"name": "my dev"},
		`"name:my dev" owner:me`:         {"name": "my dev", "owner": "me"},
		"name:a:b":                       {"name": "a:b"},
		`name:'; drop table users; --'`:  nil, // "drop" is a second name
		`"name:'; drop table users; --"`: {"name": "'; drop table users; --"},
		"name:":                          nil,
		`""`:                             nil,
		`name:"a`:                        nil,
		"color:red":                      nil,
		"owner:me owner:you":             nil,
		"name:a\x00b":                    nil,
		"name:\xff":                      nil,
	} {
		got, err := parseFilter(q, "name", "owner", "status")
		if (err == nil) != (want != nil) || err == nil && !maps.Equal(got, want) {
			t.Errorf("%q: %v, %v, want %v", q, got, err, want)
		}
	}
}

func TestUnknownKeysAreAnsweredWithThoseThereAre(t *testing.T) {
	_, err := parseFilter("color:red", "name", "owner")
	var p *problem
	if !errors.As(err, &p) || p.Status != 422 || p.Code != "bad-query" || !strings.Contains(p.Detail, `"color"`) || !strings.Contains(p.Detail, "name, owner") {
		t.Errorf("%v, want a 422 that names color, name and owner", err)
	}
	if len(p.Errors) != 1 || p.Errors[0].Location != "query.q" {
		t.Errorf("%+v, want one error at query.q", p.Errors)
	}
	if _, err := parseFilter(strings.Repeat("x", 10<<20)+":y", "name"); err == nil || len(err.Error()) > 500 {
		t.Errorf("a key of 10 MB is answered with %d bytes", len(err.Error()))
	}
}

// The parser never fails otherwise than by saying so, knows no keys but those it
// was given, and reads what it read again from how one would write it.
func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{"", "owner:me status:running", `name:"a b"`, "dev", `"`, "a:b:c", "name:\x00", "名:x", `na"me:x y"`, "NAME:x"} {
		f.Add(s)
	}
	known := []string{"name", "owner", "status"}
	f.Fuzz(func(t *testing.T, q string) {
		got, err := parseFilter(q, known...)
		var p *problem
		if err != nil {
			if !errors.As(err, &p) || p.Status != 422 {
				t.Fatalf("%q: %v, want a 422", q, err)
			}
			return
		}
		var again strings.Builder
		for _, key := range slices.Sorted(maps.Keys(got)) {
			if !slices.Contains(known, key) || got[key] == "" || !isText(got[key]) {
				t.Fatalf("%q: %q = %q", q, key, got[key])
			}
			again.WriteString(` "` + key + ":" + got[key] + `"`)
		}
		if second, err := parseFilter(again.String(), known...); err != nil || !maps.Equal(got, second) {
			t.Fatalf("%q is %v, and written again %v, %v", q, got, second, err)
		}
	})
}

package main

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"

	"github.com/aditmesh/adit/pkg/sdk"
)

var asksFor = sdk.TemplateVersion{Parameters: []sdk.Parameter{
	{Name: "cpu", Type: "number", Required: true, DisplayName: "CPUs", Description: "How many"},
	{Name: "zone", Type: "string", Required: true, Options: []sdk.Option{{Name: "Europe", Value: "eu"}, {Value: "us"}}},
	{Name: "colour", Type: "string", Default: "blue"},
}}

func TestMissingParametersAreNamed(t *testing.T) {
	a := &app{streams: streams{in: strings.NewReader("")}}
	err := a.fill(asksFor, map[string]string{}, nil)
	var usage usageError
	if want := "add --parameter cpu=NUMBER --parameter zone=eu|us"; !errors.As(err, &usage) || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v, want a usage error that ends in %q", err, want)
	}
	if err := a.fill(asksFor, map[string]string{"cpu": "2"}, map[string]string{"zone": "eu"}); err != nil {
		t.Errorf("one given, one kept: %v", err)
	}
	if err := a.fill(asksFor, map[string]string{"gpu": "1"}, nil); err == nil || !strings.Contains(err.Error(), "cpu, zone, colour") {
		t.Errorf("an unknown one: %v", err)
	}
}

func TestMissingParametersAreAskedForOnATerminal(t *testing.T) {
	keyboard, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer keyboard.Close()
	defer terminal.Close()
	if _, err := keyboard.WriteString("4\nmoon\nEUROPE\n"); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	a := &app{streams: streams{in: terminal, out: os.Stdout, err: &said}}
	given := map[string]string{}
	if err := a.fill(asksFor, given, nil); err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"cpu": "4", "zone": "eu"}; !maps.Equal(given, want) {
		t.Errorf("got %v, want %v", given, want)
	}
	for _, want := range []string{"CPUs: How many\n", "1) Europe (eu)\n", "2) us\n"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("%q is not in %q", want, said.String())
		}
	}
	if strings.Count(said.String(), "zone (string): ") != 2 {
		t.Errorf("no second try for an answer that is none: %q", said.String())
	}
}

func TestPairs(t *testing.T) {
	if m, err := pairs("p", []string{"a=1", "b=x=y", "c="}); err != nil || !maps.Equal(m, map[string]string{"a": "1", "b": "x=y", "c": ""}) {
		t.Errorf("%v, %v", m, err)
	}
	for _, bad := range [][]string{{"a"}, {"=1"}, {"a=1", "a=2"}} {
		if _, err := pairs("p", bad); err == nil {
			t.Errorf("%q is fine", bad)
		}
	}
}

package terraform

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	tfjson "github.com/hashicorp/terraform-json"
)

// stateVersion is the version of the state's format that we read. Terraform has
// written no other since 0.12.
const stateVersion = 4

// rawState is Terraform's state as it is on the disk. To read it takes a
// millisecond, where Terraform starts every provider to show it.
type rawState struct {
	Version   int `json:"version"`
	Resources []struct {
		Module    string              `json:"module"`
		Mode      tfjson.ResourceMode `json:"mode"`
		Type      string              `json:"type"`
		Name      string              `json:"name"`
		Instances []struct {
			Key        any            `json:"index_key"`
			Deposed    string         `json:"deposed"`
			Attributes map[string]any `json:"attributes"`
		} `json:"instances"`
	} `json:"resources"`
}

// Show returns what the state holds, in one module: addresses say where it is.
func (r *Run) Show() (*tfjson.StateModule, error) {
	raw, err := os.ReadFile(filepath.Join(r.cfg.Dir, stateFile))
	if err != nil {
		return nil, fmt.Errorf("terraform: read the state: %w", err)
	}
	state, err := readState(raw)
	if err != nil {
		return nil, fmt.Errorf("terraform: read the state: %w", err)
	}
	return state, nil
}

func readState(raw []byte) (*tfjson.StateModule, error) {
	var s rawState
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("it has format %d; only %d is known", s.Version, stateVersion)
	}
	m := new(tfjson.StateModule)
	for _, res := range s.Resources {
		address := res.Type + "." + res.Name
		if res.Mode == tfjson.DataResourceMode {
			address = "data." + address
		}
		if res.Module != "" {
			address = res.Module + "." + address
		}
		for _, i := range res.Instances {
			if i.Deposed != "" {
				continue // about to go
			}
			m.Resources = append(m.Resources, &tfjson.StateResource{
				Address: address + keyOf(i.Key), Mode: res.Mode, Type: res.Type, Name: res.Name,
				Index: i.Key, AttributeValues: i.Attributes,
			})
		}
	}
	return m, nil
}

// keyOf is an instance's key as addresses have it.
func keyOf(key any) string {
	switch k := key.(type) {
	case float64:
		return "[" + strconv.FormatFloat(k, 'f', -1, 64) + "]"
	case string:
		return "[" + strconv.Quote(k) + "]"
	}
	return ""
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// session is what login keeps.
type session struct {
	URL      string `json:"url"`
	Token    string `json:"token"`
	Username string `json:"username"`
}

func (a *app) sessionFile() string { return filepath.Join(a.configDir, "session.json") }

// loadSession returns the saved session; the zero one if there is none.
func (a *app) loadSession() (session, error) {
	var s session
	raw, err := os.ReadFile(a.sessionFile())
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		return s, fmt.Errorf("read the session: %w; 'adit login' makes a new one", err)
	}
	return s, nil
}

// saveSession keeps a session, readable by its owner alone.
func (a *app) saveSession(s session) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("save the session: %w", err)
	}
	if err := os.MkdirAll(a.configDir, 0o700); err != nil {
		return fmt.Errorf("save the session: %w", err)
	}
	if err := writeFileAtomic(a.sessionFile(), raw, 0o600); err != nil {
		return fmt.Errorf("save the session: %w", err)
	}
	return nil
}

// writeFileAtomic replaces a file whole or not at all.
func writeFileAtomic(name string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

package tfprovider

import (
	_ "embed"
	"encoding/base64"
	"strings"
)

var (
	//go:embed init/init.sh
	initSh string
	//go:embed init/init.ps1
	initPs1 string
	//go:embed init/cloud-config.yaml
	cloudConfig string
)

// initScript returns what gets the agent going on a platform. auth is one of those
// that adit_agent has.
func initScript(platform, url, auth string) string {
	if auth == tokenAuth {
		auth = ""
	}
	text, quote := initSh, `'\''`
	if platform == "windows" {
		text, quote = initPs1, "''"
	}
	url = strings.ReplaceAll(strings.TrimSuffix(url, "/"), "'", quote)
	return strings.NewReplacer("@URL@", url, "@AUTH@", auth).Replace(text)
}

// cloudInit returns user data that installs the agent as a service of a Linux
// machine.
func cloudInit(url, token, auth string) string {
	if auth != tokenAuth && auth != "" {
		token = "" // it is not to be there
	}
	script := base64.StdEncoding.EncodeToString([]byte(initScript("linux", url, auth)))
	return strings.NewReplacer("@TOKEN@", token, "@SCRIPT@", script).Replace(cloudConfig)
}

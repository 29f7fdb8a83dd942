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

// initScript returns what gets the agent going on a platform.
func initScript(platform, url string) string {
	url = strings.TrimSuffix(url, "/")
	if platform == "windows" {
		return strings.ReplaceAll(initPs1, "@URL@", strings.ReplaceAll(url, "'", "''"))
	}
	return strings.ReplaceAll(initSh, "@URL@", strings.ReplaceAll(url, "'", `'\''`))
}

// cloudInit returns user data that installs the agent as a service of a Linux
// machine.
func cloudInit(url, token string) string {
	script := base64.StdEncoding.EncodeToString([]byte(initScript("linux", url)))
	return strings.NewReplacer("@TOKEN@", token, "@SCRIPT@", script).Replace(cloudConfig)
}

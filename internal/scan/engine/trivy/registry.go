package trivy

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// signInFile is where container clients look for credentials below HOME, which is the scratch folder.
const signInFile = ".docker/config.json"

// signIn is config.authentication for registries: a user and a password, or a registry's own bearer token.
type signIn struct {
	Type     string `json:"type"`
	Username string `json:"username"`
	Password string `json:"password"`
	Token    string `json:"token"`
}

// credentials returns the client's configuration file for the target's registry, nil where none were given.
func credentials(req engine.Request) ([]byte, error) {
	text := req.Config.Authentication.Reveal()
	if text == "" {
		return nil, nil
	}
	var s signIn
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, fault.Wrong("config.authentication", "must hold texts only")
	}
	entry := map[string]string{}
	switch {
	case s.Type == "basic" && s.Username != "" && !strings.Contains(s.Username, ":"):
		entry["auth"] = base64.StdEncoding.EncodeToString([]byte(s.Username + ":" + s.Password))
	case s.Type == "bearer" && s.Token != "":
		entry["registrytoken"] = s.Token
	default:
		return nil, fault.Wrong("config.authentication",
			"must be {\"type\": \"basic\", \"username\", \"password\"} or {\"type\": \"bearer\", \"token\"} for the image's registry")
	}
	return json.Marshal(map[string]any{"auths": map[string]any{registryKey(req): entry}})
}

// registryKey is how the client's configuration names the registry.
func registryKey(req engine.Request) string {
	if req.Target.Host() == "docker.io" {
		return "https://index.docker.io/v1/"
	}
	registry, _, _ := strings.Cut(reference(req.Target), "/")
	return registry
}

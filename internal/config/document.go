package config

import (
	"encoding/json"
	"errors"

	"github.com/knadh/koanf/parsers/yaml"
)

// Document returns a document that somebody wrote as JSON or YAML as JSON.
func Document(raw []byte) ([]byte, error) {
	if json.Valid(raw) {
		return raw, nil
	}
	fields, err := yaml.Parser().Unmarshal(raw)
	if err != nil {
		return nil, errors.New("the file is neither JSON nor YAML")
	}
	return json.Marshal(fields)
}

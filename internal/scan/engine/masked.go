package engine

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"

	"assay.dev/assay/internal/word/fault"
)

// Unmask puts stored secrets back where given, a config as a reader was shown it, holds their masks: header values (by
// name, whatever its case) and authentication. Neither map is changed. A mask for which nothing is stored is an Invalid
// fault that names its field; what else is wrong with the config is for ParseConfig to say.
func Unmask(given, stored map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	out := maps.Clone(given)
	var wrong wrongs
	if isMask(given[string(ConfigAuthentication)]) {
		kept, ok := stored[string(ConfigAuthentication)]
		if !ok {
			wrong.add(at("config", string(ConfigAuthentication)), "is masked and nothing is stored for it; send the value")
		}
		out[string(ConfigAuthentication)] = kept
	}
	var shown, kept map[string]json.RawMessage
	raw := given[string(ConfigHeaders)]
	if json.Unmarshal(raw, &shown) == nil {
		_ = json.Unmarshal(stored[string(ConfigHeaders)], &kept) // absent or not: then nothing is stored
		n := 0
		for name, value := range shown {
			if !isMask(value) {
				continue
			}
			n++
			real, ok := byName(kept, name)
			if !ok {
				wrong.add(at("config", string(ConfigHeaders)), "holds a masked value for which nothing is stored; send the value")
				break
			}
			shown[name] = real
		}
		if n > 0 {
			doc, err := json.Marshal(shown)
			if err != nil {
				return nil, fault.New(fault.Internal, fault.CodeInternal, "the config can't be read").Because(err)
			}
			out[string(ConfigHeaders)] = doc
		}
	}
	return out, wrong.err()
}

func isMask(raw json.RawMessage) bool {
	s, ok := text(bytes.TrimSpace(raw))
	return ok && s == mask
}

func byName(headers map[string]json.RawMessage, name string) (json.RawMessage, bool) {
	for n, v := range headers {
		if strings.EqualFold(n, name) {
			return v, true
		}
	}
	return nil, false
}

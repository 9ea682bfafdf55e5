package wapiti

import (
	"slices"
	"strconv"
	"strings"
)

// jsonForms adds to secrets how they may be written within a JSON text.
func jsonForms(secrets []string) []string {
	out := slices.Clone(secrets)
	for _, s := range secrets {
		out = append(out, strings.NewReplacer("\\", "\\\\", "\"", "\\\"").Replace(s), strings.Trim(strconv.QuoteToASCII(s), "\""))
	}
	return out
}

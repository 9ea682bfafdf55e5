package engine

import (
	"slices"

	"assay.dev/assay/internal/asset"
)

// OptionType is the type of an option's value.
type OptionType string

// Option types.
const (
	TypeBool    OptionType = "boolean"
	TypeInt     OptionType = "integer"
	TypeEnum    OptionType = "string"  // one of Enum
	TypeEnumSet OptionType = "array"   // distinct values of Enum
	TypePorts   OptionType = "ports"   // "22,80,1000-2000"; parsed and printed again
	TypeTargets OptionType = "targets" // addresses and networks, parsed
)

// Option declares one option: name in camelCase, type, bounds, default, help (decisions C1). Values are parsed by
// ParseOptions into Options, never passed on as text.
type Option struct {
	Name    string
	Type    OptionType
	Enum    []string // for TypeEnum and TypeEnumSet
	Min     int64    // for TypeInt, and the fewest elements of sets
	Max     int64    // for TypeInt, and the most elements of sets, ranges and targets
	Default any      // in the type's Go form; nil = absent
	Help    string
	// Needs names the capability without which the option is refused ("net_raw"); empty = none. A boolean may still be
	// given as false.
	Needs string
	// ValueNeeds names capabilities that single values of an enum need.
	ValueNeeds map[string]string
	// Excludes names options that can't be given together with this one.
	Excludes []string
	// NotAbove names another integer option whose value, where given, this one may not exceed.
	NotAbove string
	// Consent names a boolean option that must be given as true before this one may be anything but its default: for what
	// may hurt a target or read its data. The scan keeps both, so that who agreed to what can be shown.
	Consent string
}

// NetRaw is the capability to send raw packets (root, or CAP_NET_RAW).
const NetRaw = "net_raw"

// Capabilities are what the place where engines run can do, beyond connecting: names such as NetRaw.
type Capabilities []string

// Has reports whether need is there; the empty need always is.
func (c Capabilities) Has(need string) bool { return need == "" || slices.Contains(c, need) }

// Options are parsed option values by name: bool, int64, string, []string, Ports or []asset.Target. Defaults are
// filled in. The map is not changed after parsing.
type Options map[string]any

// Has reports whether the option was given or has a default.
func (o Options) Has(name string) bool {
	_, ok := o[name]
	return ok
}

// Bool returns a boolean option, false where absent.
func (o Options) Bool(name string) bool {
	v, _ := o[name].(bool)
	return v
}

// Int returns an integer option, 0 where absent.
func (o Options) Int(name string) int {
	v, _ := o[name].(int64)
	return int(v)
}

// Text returns an enum option, "" where absent.
func (o Options) Text(name string) string {
	v, _ := o[name].(string)
	return v
}

// Set returns a set option, nil where absent.
func (o Options) Set(name string) []string {
	v, _ := o[name].([]string)
	return v
}

// Ports returns a port option, nil where absent.
func (o Options) Ports(name string) Ports {
	v, _ := o[name].(Ports)
	return v
}

// Targets returns a target list option, nil where absent.
func (o Options) Targets(name string) []asset.Target {
	v, _ := o[name].([]asset.Target)
	return v
}

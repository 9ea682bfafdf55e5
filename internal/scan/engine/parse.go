package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/word/fault"
)

// maxWrong bounds how many wrong fields one answer names.
const maxWrong = 20

// ParseOptions turns the options of an order into typed values by the manifest, defaults filled in. A fault is
// Invalid and names every wrong option as `options.<name>` (up to 20); it never repeats a value, and a name only
// where it can't be mistaken for anything but one. The result shares nothing with raw.
func ParseOptions(m Manifest, raw map[string]json.RawMessage, caps Capabilities) (Options, error) {
	p := optionParser{raw: raw, caps: caps, out: Options{}}
	for _, opt := range m.Options {
		p.option(opt)
	}
	for _, opt := range m.Options {
		p.together(opt)
	}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		if m.option(name) == nil {
			p.wrong.add(at("options", name), "is not an option of this engine; GET /scan-api/api/v1/engines lists them")
		}
	}
	if err := p.wrong.err(); err != nil {
		return nil, err
	}
	return p.out, nil
}

func (m Manifest) option(name string) *Option {
	for i := range m.Options {
		if m.Options[i].Name == name {
			return &m.Options[i]
		}
	}
	return nil
}

// wrongs collects wrong fields into one fault.
type wrongs struct{ fields []fault.Field }

func (w *wrongs) add(location, message string) {
	if len(w.fields) < maxWrong {
		w.fields = append(w.fields, fault.Field{Location: location, Message: message})
	}
}

func (w *wrongs) err() error { return fault.AllWrong(w.fields) }

// at returns the location of a field, without the name where the name itself may be an attempt to smuggle text.
func at(parent, name string) string {
	if len(name) == 0 || len(name) > 64 {
		return parent
	}
	for _, c := range []byte(name) {
		if !isAlnum(c) && c != '_' && c != '-' {
			return parent
		}
	}
	return parent + "." + name
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

type optionParser struct {
	raw   map[string]json.RawMessage
	caps  Capabilities
	out   Options
	wrong wrongs
}

func (p *optionParser) option(opt Option) {
	raw, given := p.raw[opt.Name]
	if !given {
		if opt.Default != nil {
			p.out[opt.Name] = opt.Default
		}
		return
	}
	value, message := opt.parse(bytes.TrimSpace(raw))
	if message == "" {
		message = opt.lacks(value, p.caps)
	}
	if message != "" {
		p.wrong.add("options."+opt.Name, message)
		return
	}
	p.out[opt.Name] = value
}

// together checks an option against the others that were given.
func (p *optionParser) together(opt Option) {
	if _, given := p.raw[opt.Name]; !given {
		return
	}
	for _, other := range opt.Excludes {
		if _, both := p.raw[other]; both {
			p.wrong.add("options."+opt.Name, "can't be given together with "+other)
		}
	}
	low, isLow := p.out[opt.Name].(int64)
	high, isHigh := p.out[opt.NotAbove].(int64)
	if opt.NotAbove != "" && isLow && isHigh && low > high {
		p.wrong.add("options."+opt.Name, "must not be above "+opt.NotAbove)
	}
	if opt.Consent != "" && p.out[opt.Consent] != true && !reflect.DeepEqual(p.out[opt.Name], opt.Default) {
		p.wrong.add("options."+opt.Name, "needs consent: give "+opt.Consent+" as true, too")
	}
}

// lacks returns why the value can't be had here, "" if it can.
func (o Option) lacks(value any, caps Capabilities) string {
	const text = "needs the right to send raw packets (root or CAP_NET_RAW), which the workers of this server don't have"
	if !caps.Has(o.Needs) && value != false {
		return text
	}
	if s, ok := value.(string); ok && !caps.Has(o.ValueNeeds[s]) {
		return text
	}
	return ""
}

// parse reads one value. The message says what is wanted; it is empty where the value is right.
func (o Option) parse(raw []byte) (value any, message string) {
	switch o.Type {
	case TypeBool:
		return o.parseBool(raw)
	case TypeInt:
		return o.parseInt(raw)
	case TypeEnum:
		return o.parseEnum(raw)
	case TypeEnumSet:
		return o.parseSet(raw)
	case TypePorts:
		return o.parsePorts(raw)
	case TypeTargets:
		return o.parseTargets(raw)
	}
	return nil, "has a type that this server doesn't know"
}

func (o Option) parseBool(raw []byte) (any, string) {
	switch string(raw) {
	case "true":
		return true, ""
	case "false":
		return false, ""
	}
	return nil, "must be true or false"
}

func (o Option) parseInt(raw []byte) (any, string) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < o.Min || n > o.Max {
		return nil, o.wanted()
	}
	return n, ""
}

func (o Option) parseEnum(raw []byte) (any, string) {
	s, ok := text(raw)
	if !ok || !slices.Contains(o.Enum, s) {
		return nil, o.wanted()
	}
	return s, ""
}

func (o Option) parseSet(raw []byte) (any, string) {
	list, ok := texts(raw)
	if !ok {
		return nil, o.wanted()
	}
	set := make([]string, 0, len(list))
	for _, s := range list {
		if !slices.Contains(o.Enum, s) {
			return nil, o.wanted()
		}
		if slices.Contains(set, s) {
			return nil, "names a value twice"
		}
		set = append(set, s)
	}
	if n := int64(len(set)); n < o.Min || o.Max > 0 && n > o.Max {
		return nil, o.wanted()
	}
	// The order of a set means nothing: one order makes equal orders equal.
	slices.SortFunc(set, func(a, b string) int { return slices.Index(o.Enum, a) - slices.Index(o.Enum, b) })
	return set, ""
}

func (o Option) parsePorts(raw []byte) (any, string) {
	s, ok := text(raw)
	if !ok {
		return nil, o.wanted()
	}
	ports, err := ParsePorts("options."+o.Name, s)
	if err != nil {
		return nil, messageOf(err)
	}
	return ports, ""
}

func (o Option) parseTargets(raw []byte) (any, string) {
	list, ok := texts(raw)
	if !ok || int64(len(list)) > o.Max || int64(len(list)) < o.Min {
		return nil, o.wanted()
	}
	targets := make([]asset.Target, 0, len(list))
	for _, s := range list {
		t, err := asset.ParseTarget(s, "")
		if err != nil || t.Type() != asset.TypeIP && t.Type() != asset.TypeNetwork {
			return nil, o.wanted()
		}
		if slices.ContainsFunc(targets, func(x asset.Target) bool { return x.String() == t.String() }) {
			return nil, "names an address or network twice"
		}
		targets = append(targets, t)
	}
	return targets, ""
}

// wanted says in words what a value must be.
func (o Option) wanted() string {
	switch o.Type {
	case TypeBool:
		return "must be true or false"
	case TypeInt:
		return "must be a whole number from " + strconv.FormatInt(o.Min, 10) + " to " + strconv.FormatInt(o.Max, 10)
	case TypeEnum:
		return "must be one of " + strings.Join(o.Enum, ", ")
	case TypeEnumSet:
		return "must be a list of distinct values out of " + strings.Join(o.Enum, ", ")
	case TypePorts:
		return "must be a text of ports and ranges such as \"22,80,1000-2000\""
	case TypeTargets:
		return "must be a list of at most " + strconv.FormatInt(o.Max, 10) + " IP addresses and networks"
	}
	return "is wrong"
}

// messageOf returns the message of a fault's first field.
func messageOf(err error) string {
	var f *fault.Error
	if errors.As(err, &f) && len(f.Fields) > 0 {
		return f.Fields[0].Message
	}
	return "is wrong"
}

// text reads a JSON string; anything else, null among it, is not one.
func text(raw []byte) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", false
	}
	return s, true
}

func texts(raw []byte) ([]string, bool) {
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil {
		return nil, false
	}
	out := make([]string, 0, len(parts))
	for _, part := range parts {
		s, ok := text(bytes.TrimSpace(part))
		if !ok {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}

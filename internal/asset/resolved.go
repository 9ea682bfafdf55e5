package asset

import (
	"encoding/json"
	"net/netip"
	"slices"
)

// maxResolved bounds the addresses that are told of a host.
const maxResolved = 64

// Resolved returns o with the addresses that the target's name resolved to among its attribute "addresses", so that what
// is found at an address is known to be on the same host. Nothing changes where o isn't the target's host, the target is
// no single host given by name, or is this machine itself, or where the attribute means something else.
func (o Observation) Resolved(t Target, addrs []netip.Addr) Observation {
	if o.Kind != KindHost || o.Name == "" || o.Name != t.Host() || t.Type() != TypeHost && t.Type() != TypeURL {
		return o
	}
	said := map[string]json.RawMessage{}
	if o.Attributes != nil && (json.Unmarshal(o.Attributes, &said) != nil || said == nil) {
		return o
	}
	var all []string
	if said["addresses"] != nil && json.Unmarshal(said["addresses"], &all) != nil {
		return o
	}
	before := len(all)
	for _, a := range addrs[:min(len(addrs), maxResolved)] {
		if a = a.Unmap(); !a.IsLoopback() {
			all = append(all, a.String())
		}
	}
	if len(all) == before {
		return o
	}
	slices.Sort(all)
	list, err := json.Marshal(slices.Compact(all))
	if err != nil {
		return o
	}
	said["addresses"] = list
	if whole, err := json.Marshal(said); err == nil && len(whole) <= MaxAttributes {
		o.Attributes = whole
	}
	return o
}

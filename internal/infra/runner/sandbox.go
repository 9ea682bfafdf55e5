package runner

import (
	"context"
	"strings"

	"assay.dev/assay/internal/word/fault"
)

// Mode says what is done where the machine can't confine programs as they should be.
type Mode string

// Modes.
const (
	Best    Mode = "best"    // confine them as far as it can be had; Holds tells how far
	Require Mode = "require" // start none
	Off     Mode = "off"     // don't confine them at all
)

// DefaultUser is the user that programs run as where the server is root: nobody.
const DefaultUser = 65534

// ProxyPort is where the forward proxy answers in a network of a program's own.
const ProxyPort = 3128

// Property is one promise of the confinement and whether it holds on this machine.
type Property struct {
	Name  string // stable, snake_case
	Title string // what is promised, for people
	Holds bool
	Why   string // why not, or what is special; may be empty where it holds
	// Optional: nothing is refused for want of it.
	Optional bool
}

// Names of properties.
const (
	PropertyStart      = "own_group"
	PropertyPrivileges = "no_new_privileges"
	PropertyUser       = "unprivileged_user"
	PropertyReads      = "reads"
	PropertyWrites     = "writes"
	PropertyProcesses  = "processes"
	PropertyProxy      = "network"
	PropertyNamespaces = "namespaces"
	PropertyLimits     = "limits"
	PropertyDeath      = "ends_with_server"
	PropertyGroup      = "control_group"
)

// titles are the properties in the order in which they are shown.
func titles() []Property {
	return []Property{
		{Name: PropertyStart, Title: "no shell, own process group, cleared environment, private folder"},
		{Name: PropertyPrivileges, Title: "no privileges, and no way to new ones"},
		{Name: PropertyUser, Title: "runs as a user that isn't root"},
		{Name: PropertyReads, Title: "reads the system's programs and its own folder, nothing else"},
		{Name: PropertyWrites, Title: "writes into its own folder, nowhere else"},
		{Name: PropertyProcesses, Title: "sees and signals no process but its own"},
		{Name: PropertyProxy, Title: "reaches the scan's forward proxy, nothing else"},
		{Name: PropertyNamespaces, Title: "namespaces of its own: user, process, network, mount, IPC, host name"},
		{Name: PropertyLimits, Title: "limits from its first instruction: memory, files, processes, file size, processor time"},
		{Name: PropertyDeath, Title: "ends with the server, all descendants too"},
		{Name: PropertyGroup, Title: "a control group bounds memory and processes of all its descendants together", Optional: true},
	}
}

// Holds tells of every property whether it holds on this machine. It tries each by a program that attempts the
// opposite, and takes some tens of milliseconds.
func (r *Runner) Holds(ctx context.Context) ([]Property, error) {
	found, err := r.tried(ctx)
	if err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "what programs of engines are kept from couldn't be tried").Because(err)
	}
	out := titles()
	for i := range out {
		if t, ok := found[out[i].Name]; ok {
			out[i].Holds, out[i].Why = t.holds, t.why
		} else {
			out[i].Why = "not tried"
		}
	}
	return out, nil
}

// trial is what became of trying one property.
type trial struct {
	holds bool
	why   string
}

// insist refuses to go on where the operator requires what this machine doesn't hold. It tries once.
func (r *Runner) insist(ctx context.Context) error {
	if r.mode != Require {
		return nil
	}
	r.insisted.Lock()
	defer r.insisted.Unlock()
	if r.missing == nil {
		all, err := r.Holds(ctx)
		if err != nil {
			return err
		}
		missing := []string{}
		for _, p := range all {
			if !p.Holds && !p.Optional {
				missing = append(missing, p.Name)
			}
		}
		r.missing = missing
	}
	if len(r.missing) > 0 {
		return fault.New(fault.Unavailable, fault.CodeEngine, "engines may not start here: the operator requires a sandbox, and it lacks "+
			strings.Join(r.missing, ", ")+"; `assay doctor` says why")
	}
	return nil
}

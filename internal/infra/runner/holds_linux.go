package runner

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"assay.dev/assay/internal/infra/runner/cell"
	"assay.dev/assay/internal/scan/engine"
)

// probeMemory is the address space that a probe may have; twice as much must be refused.
const probeMemory = 4 << 30

// why are the reasons that need no trying.
const (
	whyOff        = "switched off by the setting sandbox"
	whyContainers = "it holds outside of containers; programs that run in containers and use the proxy share the host's network"
	whyNoHelper   = "the program assay-sandbox isn't installed beside assay"
)

// tried runs a program that attempts what it should be kept from, in the plan of programs with a network of their
// own, and says what became of it.
func (r *Runner) tried(ctx context.Context) (map[string]trial, error) {
	out := map[string]trial{PropertyStart: {holds: true}}
	if r.groups != nil {
		out[PropertyGroup] = trial{holds: r.groups.dir != "", why: r.groups.why}
	}
	p, err := r.planFor(ctx, kindOwn)
	if err != nil {
		return nil, err
	}
	if p == nil {
		why := whyNoHelper
		if r.mode == Off {
			why = whyOff
		}
		for _, t := range titles() {
			if _, ok := out[t.Name]; !ok {
				out[t.Name] = trial{why: why}
			}
		}
		if os.Geteuid() != 0 {
			out[PropertyUser] = trial{holds: true}
		}
		return out, nil
	}
	lines, err := r.probe(ctx, p)
	if err != nil {
		return nil, err
	}
	for property, attempts := range proofs() {
		out[property] = judge(p, property, attempts, lines)
	}
	if n := len(r.containers.Images); n > 0 && out[PropertyProxy].holds {
		out[PropertyProxy] = trial{why: whyContainers}
	}
	out[PropertyDeath] = trial{holds: p.spec.Process1, why: p.lost[PropertyDeath]}
	if Capabilities().Has(engine.NetRaw) && out[PropertyNamespaces].holds {
		out[PropertyNamespaces] = trial{holds: true, why: "programs that send raw packets on the host's network stay in its user namespace, with CAP_NET_RAW and nothing else"}
	}
	return out, nil
}

// proofs are the attempts that must have failed for a property to hold.
func proofs() map[string][]string {
	return map[string][]string{
		PropertyPrivileges: {cell.ProbePrivilege},
		PropertyUser:       {cell.ProbeUser},
		PropertyReads:      {cell.ProbeRead},
		PropertyWrites:     {cell.ProbeWrite},
		PropertyProcesses:  {cell.ProbeProcess},
		PropertyProxy:      {cell.ProbeConnect, cell.ProbeProxy},
		PropertyNamespaces: {cell.ProbeSpaces},
		PropertyLimits:     {cell.ProbeLimit},
	}
}

func judge(p *plan, property string, attempts []string, lines map[string]string) trial {
	for _, attempt := range attempts {
		said, ok := lines[attempt]
		if said == "ok" {
			continue
		}
		why := strings.TrimPrefix(said, "broken ")
		if !ok {
			why = "the attempt told nothing"
		}
		if lost := p.lost[property]; lost != "" {
			why += " (" + lost + ")"
		}
		return trial{why: why}
	}
	return trial{holds: true, why: p.lost[property]}
}

// probe runs the attempts and returns what each said.
func (r *Runner) probe(ctx context.Context, p *plan) (map[string]string, error) {
	outside, err := os.MkdirTemp("", "assay-outside-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(outside) }()
	if err := os.Chmod(outside, 0o777); err != nil { //nolint:gosec // an empty folder that everybody may write, so that only the sandbox can refuse it
		return nil, err
	}
	data := filepath.Join(r.scratch, "trial-data")
	if err := os.WriteFile(data, []byte("x"), 0o644); err != nil { //nolint:gosec // readable, so that only the sandbox can refuse it
		return nil, err
	}
	defer func() { _ = os.Remove(data) }()
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, err
	}
	limited := *p
	limited.spec.Memory, limited.spec.CPU = probeMemory, 60
	var said bytes.Buffer
	exit, err := r.rehearse(ctx, &limited, cell.StageProbe, []string{
		cell.ProbePrivilege + "=0", cell.ProbeRead + "=" + data, cell.ProbeWrite + "=" + outside,
		cell.ProbeProcess + "=" + strconv.Itoa(os.Getpid()), cell.ProbeConnect + "=" + port, cell.ProbeProxy + "=" + strconv.Itoa(ProxyPort),
		cell.ProbeLimit + "=" + strconv.Itoa(2*probeMemory), cell.ProbeSpaces + "=" + spaces(), cell.ProbeUser + "=root",
	}, &said)
	if err != nil {
		return nil, err
	}
	if exit.Code != 0 {
		return nil, errors.New("the probe failed")
	}
	lines := map[string]string{}
	for line := range strings.Lines(said.String()) {
		name, verdict, _ := strings.Cut(strings.TrimSpace(line), " ")
		lines[name] = verdict
	}
	return lines, nil
}

// spaces returns our own namespaces.
func spaces() string {
	var out []string
	for _, name := range []string{"user", "pid", "net", "mnt", "ipc", "uts"} {
		if link, err := os.Readlink("/proc/self/ns/" + name); err == nil {
			out = append(out, link)
		}
	}
	return strings.Join(out, " ")
}

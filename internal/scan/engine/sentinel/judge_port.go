package sentinel

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/sentinel/rule"
)

// host takes one address whose ports were tried.
func (j *judge) host(rec hostRecord) {
	at, ok := j.place(rec.Addr, 0)
	if !ok {
		return
	}
	h := j.cover.Of(at.Host)
	h.Addrs++
	if slices.Contains(rec.Checked, rule.CheckPorts) {
		h.Complete++
	}
	if h.Tried == nil {
		for _, p := range rec.Ports {
			if p[0] < 1 || p[1] > 65535 || p[0] > p[1] || len(h.Tried) > 2*engine.MaxPortRanges {
				j.damaged = true
				return
			}
			h.Tried = append(h.Tried, engine.PortRange{From: p[0], To: p[1]})
		}
	}
	if len(h.Spared) > maxSpared*maxAddrs {
		j.damaged = true // no run of ours looks at so many addresses of one name
		return
	}
	h.Spared = append(h.Spared, rec.Spared[:min(len(rec.Spared), maxSpared)]...)
	if rec.Alive {
		j.saw(asset.KindHost, at.Host, map[string]any{"address": rec.Addr})
	}
}

// port takes one open port.
func (j *judge) port(rec portRecord) {
	at, ok := j.place(rec.Addr, rec.Port)
	if !ok || rec.Port == 0 {
		j.damaged = true
		return
	}
	s := rec.Service
	s.Name, s.Product, s.Version = printable(s.Name, 32), printable(s.Product, 64), printable(s.Version, 64)
	h := j.cover.Of(at.Host)
	if len(h.Open) > maxOpen*maxAddrs {
		j.damaged = true
		return
	}
	h.Open[at.Port]++
	h.Done(at.Port, rec.Checked)
	j.ssh(rec, at)
	j.saw(asset.KindService, net.JoinHostPort(at.Host, strconv.Itoa(at.Port))+"/tcp", map[string]any{
		"service": s.Name, "product": s.Product, "version": s.Version, "tls": strconv.FormatBool(s.TLS),
	})
	if !slices.Contains(rec.Checked, rule.CheckService) {
		return
	}
	title := fmt.Sprintf("Open TCP port %d", at.Port)
	if s.Name != "" {
		title += " (" + s.Name + ")"
	}
	j.add("port-open", at, detail{title: title, evidence: s.Banner})
	known := detail{evidence: strings.TrimSpace(s.Product + " " + s.Version + "\n" + s.Banner)}
	if s.Version != "" && s.Name != "http" {
		j.add("port-version", at, known)
	}
	switch s.Name {
	case "telnet":
		j.add("port-telnet", at, known)
	case "ftp":
		if s.NoTLS {
			j.add("port-ftp-cleartext", at, known)
		}
		if s.NoAuth {
			j.add("port-ftp-anonymous", at, known)
		}
	case "redis":
		if s.NoAuth {
			j.add("port-redis-open", at, known)
		}
	case "memcached":
		if s.NoAuth {
			j.add("port-memcached-open", at, known)
		}
	case "smtp":
		if s.NoTLS {
			j.add("port-smtp-cleartext", at, known)
		}
	case "vnc":
		j.add("port-vnc", at, known)
	case "mysql", "postgresql":
		j.add("port-database", at, known)
		if s.NoTLS {
			j.add("port-database-cleartext", at, known)
		}
	}
}

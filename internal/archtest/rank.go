// Package archtest holds the rules of ARCHITECTURE.md as tests: who may import whom, how large things may grow, what
// every package must say of itself, and that the documents name only what exists.
//
// It parses the source in its own process, because a test that asks another program keeps a stale cached pass. Nothing
// imports it. Start with rank.go; sizes are in size_test.go, exceptions with their reasons in allow.go.
package archtest

import "strings"

// Rank is a package's place in the order of imports: it may import lower ranks, and equals only where its group says.
type Rank struct {
	Level int
	// Order places domain packages in one line: each may import those to its left.
	Order int
}

// domain lists the packages of rank 1 from left to right (ARCHITECTURE.md section 3).
func domain() []string {
	return []string{
		"schedule", "audit", "org/tenant", "org/access", "org/usage", "asset", "scan/redact", "scan/finding", "scan/triage", "scan/intel", "scan/correlation", "scan/vex", "scan/engine", "scan", "scan/dispatch", "scan/phase", "scan/template", "scan/report", "scan/comparison", "scan/inventory", "scan/retention",
		"vault", "vault/discovery", "vault/dependency", "proof/compliance", "vault/rotation", "vault/secretsync",
		"proof/repoaudit", "proof/evidence", "proof/pipeline", "notice/hook", "notice/channel", "notice/alert",
	}
}

// Levels.
const (
	words    = 0
	domains  = 1
	kits     = 2
	adapters = 3
	edges    = 4
	lists    = 5
	root     = 6
	command  = 7
	mains    = 8
)

// RankOf returns the rank of a package, given by its path below the module ("internal/scan/engine"). A package without
// a rank is a mistake: ARCHITECTURE.md has no room for it.
func RankOf(pkg string) (Rank, bool) {
	if strings.HasPrefix(pkg, "cmd/") {
		return Rank{Level: mains}, true
	}
	name, ok := strings.CutPrefix(pkg, "internal/")
	if !ok {
		return Rank{}, false
	}
	for i, d := range domain() {
		if name == d {
			return Rank{Level: domains, Order: i + 1}, true
		}
	}
	switch first, rest, _ := strings.Cut(name, "/"); {
	case first == "word", name == "config", name == "archtest":
		return Rank{Level: words}, true
	case first == "inspect":
		return Rank{Level: domains, Order: 5}, true
	case strings.HasSuffix(name, "/catalog"):
		return Rank{Level: lists}, true
	case name == "testkit", name == "testkit/targets", name == "simulator", strings.HasSuffix(name, "/enginetest"), strings.HasSuffix(name, "/acmetest"), strings.HasSuffix(name, "/runnertest"), strings.HasSuffix(name, "/vaulttest"), strings.HasSuffix(name, "/storetest"):
		return Rank{Level: kits}, true
	case first == "infra", name == "obs", strings.HasPrefix(name, "scan/engine/"), first == "vault" && rest != "",
		strings.HasPrefix(name, "proof/repoaudit/"), strings.HasPrefix(name, "notice/channel/"):
		return Rank{Level: adapters}, true
	case first == "web", name == "worker", name == "client":
		return Rank{Level: edges}, true
	case name == "app", name == "app/programs", name == "app/doctor":
		return Rank{Level: root}, true
	case name == "cli":
		return Rank{Level: command}, true
	}
	return Rank{}, false
}

// MayImport decides on one import between two of our packages; why is the rule that forbids it.
func MayImport(from, to string) (why string, ok bool) {
	f, fok := RankOf(from)
	t, tok := RankOf(to)
	if !fok || !tok {
		return "a package has no rank", false
	}
	if reason, listed := exceptions()[from+" > "+to]; listed && reason != "" {
		return "", true
	}
	switch f.Level {
	case words:
		return "words import the standard library and words only", t.Level == words
	case domains:
		return "a domain package imports words and the domain packages to its left", t.Level == words || (t.Level == domains && t.Order < f.Order)
	case kits:
		return "a kit imports its port, words and the domain", t.Level <= domains || kitMay(from, to)
	case adapters:
		return "an adapter imports words and the domain, never another adapter", t.Level <= domains || sameAdapter(from, to)
	case edges:
		return "an edge imports words, the domain and its own parts, never an adapter", t.Level <= domains || (t.Level == edges && strings.HasPrefix(from, "internal/web/") && strings.HasPrefix(to, "internal/web/"))
	case lists:
		return "a catalog imports its port and its adapters", t.Level <= domains || t.Level == adapters
	case root:
		return "app and its parts import everything below them; app imports app/programs, app/doctor imports both", t.Level < root && t.Level != kits || partOfApp(from, to)
	case command:
		return "cli imports words, the domain, app, app/doctor, client, config and the simulator", t.Level <= domains || to == "internal/app" || to == "internal/app/doctor" || to == "internal/client" || to == "internal/simulator"
	case mains:
		return "a main imports cli, or what the small verifier or the small sandbox needs", to == "internal/cli" || to == "internal/infra/runner/cell" || to == "internal/audit" || to == "internal/proof/evidence" || t.Level == words
	}
	return "no rule", false
}

// sameAdapter lets an adapter have sub-packages of its own; those of one scan engine may share parts.
func sameAdapter(from, to string) bool {
	e := engineOf(from)
	return strings.HasPrefix(from, to+"/") || strings.HasPrefix(to, from+"/") || e != "" && e == engineOf(to)
}

// partOfApp lets the parts of the root build on each other in one line: app/programs ← app ← app/doctor.
func partOfApp(from, to string) bool {
	switch from {
	case "internal/app":
		return to == "internal/app/programs"
	case "internal/app/doctor":
		return to == "internal/app" || to == "internal/app/programs"
	}
	return false
}

// engineOf returns the id of the scan engine in whose folder a package lies, "" for others.
func engineOf(pkg string) string {
	rest, ok := strings.CutPrefix(pkg, "internal/scan/engine/")
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	return id
}

func kitMay(from, to string) bool {
	switch from {
	case "internal/testkit":
		return to == "internal/infra/store" || to == "internal/app" || to == "internal/simulator"
	case "internal/infra/store/storetest":
		return to == "internal/infra/store" || to == "internal/testkit"
	}
	return false
}

// Package proof shows what kind of file a file's beginning is, so that a server which answers everything isn't taken for
// one that leaks. It is pure, takes any bytes, and what it returns holds no value. Start with Prove.
package proof

import (
	"bytes"
	"strings"

	"assay.dev/assay/internal/scan/engine/sentinel/banner"
	"assay.dev/assay/internal/scan/engine/sentinel/rule"
)

// Kinds lists every kind that can be proved.
func Kinds() []string {
	return []string{
		rule.KindGit, rule.KindEnv, rule.KindSVN, rule.KindStatus, rule.KindPHPInfo, rule.KindKey, rule.KindHtpasswd, rule.KindSQL, rule.KindArchive, rule.KindConfig,
		rule.KindDSStore, rule.KindCloud, rule.KindRegistry, rule.KindNpm, rule.KindActuator, rule.KindPprof,
	}
}

// Prove returns what in a file's beginning shows that it is of the kind, with every value masked, or "" where nothing
// does. It is pure and takes any bytes. A page of HTML proves only what is HTML itself.
func Prove(kind string, body []byte) string {
	text := string(body)
	page := strings.HasPrefix(strings.TrimSpace(text), "<") && !strings.HasPrefix(text, "<?php")
	switch kind {
	case rule.KindArchive:
		return magic(body, "PK\x03\x04", "a ZIP archive", "PK\x05\x06", "a ZIP archive", "\x1f\x8b\x08", "a gzip archive")
	case rule.KindDSStore:
		return magic(body, "\x00\x00\x00\x01Bud1", "a folder index of macOS")
	case rule.KindStatus:
		return within(text, "Apache Server Status for", "Server uptime:")
	case rule.KindPHPInfo:
		return within(text, "PHP Version", "phpinfo()")
	case rule.KindPprof:
		return within(text, "/debug/pprof/", "profiles")
	}
	if page {
		return ""
	}
	return proveText(kind, text)
}

// proveText covers the kinds that are plain text.
func proveText(kind, text string) string {
	switch kind {
	case rule.KindGit:
		if ref, ok := strings.CutPrefix(firstLine(text), "ref: refs/"); ok {
			return "ref: refs/" + banner.Printable(ref, 80)
		}
		return assignments(text, "[core]", nil)
	case rule.KindEnv:
		return assignments(text, "", envName)
	case rule.KindSVN:
		if v := firstLine(text); len(v) <= 2 && v >= "4" && v <= "99" && strings.Count(text, "\n") > 0 {
			return "working copy format " + banner.Printable(v, 2)
		}
	case rule.KindKey:
		if line := firstLine(text); strings.HasPrefix(line, "-----BEGIN ") && strings.HasSuffix(line, "PRIVATE KEY-----") {
			return banner.Printable(line, 80) + " [masked]"
		}
	case rule.KindHtpasswd:
		user, hash, ok := strings.Cut(firstLine(text), ":")
		for _, scheme := range []string{"$apr1$", "$2y$", "$2a$", "$2b$", "{SHA}", "$5$", "$6$"} {
			if ok && user != "" && strings.HasPrefix(hash, scheme) {
				return banner.Printable(user, 32) + ":" + scheme + "[masked]"
			}
		}
	case rule.KindSQL:
		return dump(text)
	case rule.KindConfig:
		if strings.Contains(text, "<?php") || strings.Contains(text, "define(") {
			return defines(text)
		}
	case rule.KindCloud:
		return assignments(text, "[", func(n string) bool { return strings.HasPrefix(n, "aws_") })
	case rule.KindRegistry:
		return within(text, `"auths"`, `"auth"`)
	case rule.KindNpm:
		if strings.Contains(text, ":_authToken=") || strings.HasPrefix(text, "_auth=") {
			return "an _authToken [masked]"
		}
	case rule.KindActuator:
		return within(text, `"propertySources"`, `"properties"`)
	}
	return ""
}

// magic compares the first bytes with pairs of mark and meaning.
func magic(body []byte, pairs ...string) string {
	for i := 0; i+1 < len(pairs); i += 2 {
		if bytes.HasPrefix(body, []byte(pairs[i])) {
			return "begins as " + pairs[i+1]
		}
	}
	return ""
}

// within wants all marks, and names them.
func within(text string, marks ...string) string {
	for _, m := range marks {
		if !strings.Contains(text, m) {
			return ""
		}
	}
	return "holds " + strings.Join(marks, " and ")
}

// assignments returns up to ten "name = [masked]" lines. Where section is given, a line must begin with it; where named
// is given, at least one name must satisfy it, and others are left out.
func assignments(text, section string, named func(string) bool) string {
	var out []string
	found := section == ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if section != "" && strings.HasPrefix(line, section) {
			found = true
			out = append(out, banner.Printable(line, 80))
			continue
		}
		name, _, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(strings.TrimPrefix(name, "export "))
		if ok && plainName(name) && (named == nil || named(name)) && len(out) < 10 {
			out = append(out, name+"=[masked]")
		}
	}
	if !found || len(out) == 0 || section != "" && len(out) == 1 {
		return ""
	}
	return strings.Join(out, "\n")
}

// envName is the usual form of a variable's name. A single lower-case assignment is no environment file.
func envName(name string) bool { return name == strings.ToUpper(name) && len(name) >= 3 }

func plainName(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	for _, c := range []byte(name) {
		if !banner.Letter(c) && (c < '0' || c > '9') && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

// dump recognises the head of a database dump.
func dump(text string) string {
	upper := strings.ToUpper(text)
	for _, mark := range []string{"-- MYSQL DUMP", "-- MARIADB DUMP", "-- POSTGRESQL DATABASE DUMP", "CREATE TABLE ", "INSERT INTO "} {
		if i := strings.Index(upper, mark); i >= 0 && (i == 0 || upper[i-1] == '\n') {
			return "holds " + strings.TrimSpace(strings.TrimPrefix(mark, "-- ")) + " [masked]"
		}
	}
	return ""
}

// defines returns the names that a PHP configuration sets.
func defines(text string) string {
	var out []string
	for _, name := range []string{"DB_NAME", "DB_USER", "DB_PASSWORD", "DB_HOST", "AUTH_KEY", "$password", "$db_pass"} {
		if strings.Contains(text, name) {
			out = append(out, name+"=[masked]")
		}
	}
	return strings.Join(out, "\n")
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimRight(line, "\r")
}

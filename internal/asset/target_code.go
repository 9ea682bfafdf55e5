package asset

import (
	"net/netip"
	"path"
	"strconv"
	"strings"

	"assay.dev/assay/internal/word/fault"
)

// defaultRegistry is what an image reference without a registry means to every container tool.
const defaultRegistry = "docker.io"

// parseImage reads [registry/]name[:tag][@digest] by the grammar of the OCI distribution specification. The registry
// becomes the target's host or address; the text stays as it was written but for the registry's case.
func parseImage(text string) (Target, error) {
	bad := fault.Wrong("target", "is not an image reference; give one such as registry.example.org/team/app:1.2")
	rest, digest, hasDigest := strings.Cut(text, "@")
	if hasDigest && !isDigest(digest) {
		return Target{}, bad
	}
	name, tag, hasTag := rest, "", false
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, '/') {
		name, tag, hasTag = rest[:i], rest[i+1:], true
	}
	if hasTag && !isTag(tag) {
		return Target{}, bad
	}
	t := Target{typ: TypeImage, host: defaultRegistry}
	registry, repository, found := strings.Cut(name, "/")
	if found && isRegistry(registry) {
		var err error
		if t.host, t.addr, registry, err = parseRegistry(registry); err != nil {
			return Target{}, err
		}
		if !isRegistry(registry) {
			return Target{}, bad // "app./x": without the dot it would be a repository of another registry
		}
		name = registry + "/" + repository
	} else {
		repository = name
	}
	if len(name) > 255 || !isRepository(repository) {
		return Target{}, bad
	}
	t.text = name + text[len(rest)-len(suffix(tag, hasTag)):]
	return t, nil
}

// isRegistry reports whether the first part of a reference is a registry and not a folder of the default one.
func isRegistry(part string) bool { return strings.ContainsAny(part, ".:") || part == "localhost" }

// suffix returns ":tag" as it stood in the reference.
func suffix(tag string, has bool) string {
	if !has {
		return ""
	}
	return ":" + tag
}

// parseRegistry reads host[:port] of a registry and returns its host or address and its canonical text.
func parseRegistry(text string) (host string, addr netip.Addr, canonical string, err error) {
	if _, perr := netip.ParseAddrPort(text); perr != nil && strings.Count(text, ":") == 1 {
		name, port, _ := strings.Cut(text, ":")
		n, nerr := strconv.ParseUint(port, 10, 16)
		if nerr != nil || n == 0 {
			return "", addr, "", fault.Wrong("target", "names a registry port that is not within 1–65535")
		}
		if host, err = canonicalName(name); err != nil {
			return "", addr, "", err
		}
		return host, addr, host + ":" + strconv.FormatUint(n, 10), nil
	}
	if ap, perr := netip.ParseAddrPort(text); perr == nil && ap.Addr().Zone() == "" && ap.Port() != 0 {
		ap = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
		return "", ap.Addr(), ap.String(), nil
	}
	if a, perr := netip.ParseAddr(text); perr == nil && a.Is4() {
		return "", a, a.String(), nil
	}
	if host, err = canonicalName(text); err != nil {
		return "", addr, "", err
	}
	return host, addr, host, nil
}

// isRepository checks path components: lower-case letters and digits, joined by one period, one or two underscores, or
// hyphens.
func isRepository(s string) bool {
	for part := range strings.SplitSeq(s, "/") {
		if !isComponent(part) {
			return false
		}
	}
	return true
}

func isComponent(s string) bool {
	gap := ""
	for i, c := range []byte(s) {
		if (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') {
			gap = ""
			continue
		}
		gap += string(c)
		if i == 0 || (gap != "." && gap != "_" && gap != "__" && strings.Trim(gap, "-") != "") {
			return false
		}
	}
	return s != "" && gap == ""
}

func isTag(s string) bool {
	if s == "" || len(s) > 128 || s[0] == '.' || s[0] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if !isWord(c) && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

func isWord(c byte) bool {
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'
}

// isDigest takes the two registered algorithms of the OCI image specification.
func isDigest(s string) bool {
	algorithm, sum, _ := strings.Cut(s, ":")
	if (algorithm != "sha256" || len(sum) != 64) && (algorithm != "sha512" || len(sum) != 128) {
		return false
	}
	return strings.Trim(sum, "0123456789abcdef") == ""
}

// parseRepository reads the https URL of a code repository: a path, no credentials, no query.
func parseRepository(text string) (Target, error) {
	t, err := parseURL(text)
	if err != nil {
		return Target{}, err
	}
	u := t.url
	if u.Scheme != "https" {
		return Target{}, fault.Wrong("target", "must be an https URL")
	}
	if u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") {
		return Target{}, fault.Wrong("target", "must be a repository's URL without query and fragment")
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	if u.Path == "" {
		return Target{}, fault.Wrong("target", "is not a repository; give one such as https://git.example.org/team/app")
	}
	return Target{typ: TypeRepository, host: t.host, addr: t.addr, text: u.String()}, nil
}

// parseFolder reads a clean absolute path. Whether it lies below a configured root, links resolved, is decided where it
// is opened.
func parseFolder(text string) (Target, error) {
	if !path.IsAbs(text) || path.Clean(text) != text {
		return Target{}, fault.Wrong("target", "is not a clean absolute path; give one such as /srv/code/app without '.', '..' and doubled slashes")
	}
	return Target{typ: TypeFilesystem, text: text}, nil
}

package finding

import (
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// placeholder stands in a path template for what names one record of many.
const placeholder = "{id}"

// CanonicalHost returns a host the one way in which locations and coverage name it: an address in its shortest form,
// unmapped and without brackets, a name in lower case without the trailing dot.
func CanonicalHost(host string) string {
	bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if a, err := netip.ParseAddr(bare); err == nil {
		return a.Unmap().String()
	}
	return strings.ToLower(strings.TrimRight(host, "."))
}

// PathTemplate returns a decoded URL path with the segments that name single records replaced: whole numbers, UUIDs,
// hexadecimal ids of 16 digits or more, and, within a segment, parts of 8 or more hexadecimal digits that mix letters
// and numbers (the build hash of a script). Dot segments, doubled and trailing slashes and path parameters (";…") are
// left out. An empty path is "/".
func PathTemplate(decoded string) string {
	segments := strings.Split(decoded, "/")
	for i, segment := range segments {
		segments[i], _, _ = strings.Cut(segment, ";")
	}
	clean := path.Clean("/" + strings.Join(segments, "/"))
	if clean == "/" {
		return clean
	}
	var b strings.Builder
	for segment := range strings.SplitSeq(clean[1:], "/") {
		b.WriteByte('/')
		b.WriteString(segmentTemplate(segment))
	}
	return b.String()
}

func segmentTemplate(s string) string {
	if isNumber(s) || isUUID(s) || (len(s) >= 16 && isHex(s) && strings.ContainsAny(s, "0123456789")) {
		return placeholder
	}
	var b strings.Builder
	start := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '.' && s[i] != '-' && s[i] != '_' {
			continue
		}
		b.WriteString(partTemplate(s[start:i]))
		if i < len(s) {
			b.WriteByte(s[i])
		}
		start = i + 1
	}
	return b.String()
}

func partTemplate(s string) string {
	if len(s) >= 8 && isHex(s) && strings.ContainsAny(s, "0123456789") && strings.ContainsAny(s, "abcdefABCDEF") {
		return placeholder
	}
	return s
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdefABCDEF") == "" }

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		if hyphen := i == 8 || i == 13 || i == 18 || i == 23; hyphen != (s[i] == '-') || (!hyphen && !isHex(s[i:i+1])) {
			return false
		}
	}
	return true
}

// schemePort returns a URL's port, its scheme's where it names none, 0 where neither is known.
func schemePort(u *url.URL) int {
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return 0
		}
		return int(n)
	}
	switch u.Scheme {
	case "http", "ws":
		return 80
	case "https", "wss":
		return 443
	}
	return 0
}

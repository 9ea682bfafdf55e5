package problem

import (
	"errors"
	"net/http"
	"strings"

	"assay.dev/assay/internal/word/fault"
)

// StatusClientClosed is the status under which a request that its caller gave up is logged; nobody receives it.
const StatusClientClosed = 499

// Status is the total switch from fault kind to HTTP status, in the family's terms, refined for transport faults and
// for codes whose documented status differs from their kind's.
func Status(family Family, err error) int {
	if t := transportOf(err); t != nil {
		return t.status
	}
	f := fault.Of(err)
	if status, ok := byCode(f.Code); ok {
		return status
	}
	switch f.Kind {
	case fault.Internal:
		return http.StatusInternalServerError
	case fault.Invalid, fault.Unsupported:
		if family.Envelope() {
			return http.StatusBadRequest
		}
		return http.StatusUnprocessableEntity
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict:
		return http.StatusConflict
	case fault.Exhausted:
		return http.StatusTooManyRequests
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	case fault.Canceled:
		return StatusClientClosed
	}
	return http.StatusInternalServerError
}

// byCode returns the documented status of codes that have one in every family, whatever kind they travel under.
func byCode(code fault.Code) (int, bool) {
	switch code { //nolint:exhaustive // the codes that differ from their kind; the others follow it
	case fault.CodeAmbiguousCredentials, fault.CodeTargetType, fault.CodeFormat:
		return http.StatusBadRequest, true
	case fault.CodeMethod:
		return http.StatusMethodNotAllowed, true
	case fault.CodeTooLarge:
		return http.StatusRequestEntityTooLarge, true
	case fault.CodeMediaType:
		return http.StatusUnsupportedMediaType, true
	case fault.CodeTargetForbidden, fault.CodePlan, fault.CodeScanType, fault.CodeIPNotAllowed:
		return http.StatusForbidden, true
	case fault.CodeRawNotAvailable:
		return http.StatusNotFound, true
	}
	return 0, false
}

// transport is a fault of the request as a message. It wraps the fault that names it and knows its status, which the
// fault's kind can't say: malformed is 400 where wrong is 422.
type transport struct {
	fault  *fault.Error
	status int
	allow  string
}

func (t *transport) Error() string { return t.fault.Error() }
func (t *transport) Unwrap() error { return t.fault }

func transportOf(err error) *transport {
	t, _ := errors.AsType[*transport](err)
	return t
}

// Malformed is the answer to a message that can't be read: VALIDATION_ERROR with 400 in every family. location is made
// safe by Location.
func Malformed(location, message string) error {
	f := fault.New(fault.Invalid, fault.CodeValidation, "the request can't be read").With(Location(location), message)
	return &transport{fault: f, status: http.StatusBadRequest}
}

// TooLarge answers a body over the route's limit.
func TooLarge() error {
	f := fault.New(fault.Invalid, fault.CodeTooLarge, "the request body is larger than this operation takes")
	return &transport{fault: f, status: http.StatusRequestEntityTooLarge}
}

// MediaType answers a body that isn't JSON in UTF-8, or an encoding other than gzip.
func MediaType(text string) error {
	f := fault.New(fault.Unsupported, fault.CodeMediaType, text)
	return &transport{fault: f, status: http.StatusUnsupportedMediaType}
}

// UnknownRoute answers a path that nothing is served at.
func UnknownRoute() error {
	f := fault.New(fault.NotFound, fault.CodeNotFound, "there is nothing at this path; /docs lists what there is")
	return &transport{fault: f, status: http.StatusNotFound}
}

// WrongMethod answers a method that the path doesn't take; allow is the Allow header.
func WrongMethod(allow string) error {
	f := fault.New(fault.Unsupported, fault.CodeMethod, "this path doesn't take this method")
	return &transport{fault: f, status: http.StatusMethodNotAllowed, allow: allow}
}

// Timeout answers a body that didn't arrive in time.
func Timeout() error {
	f := fault.New(fault.Unavailable, fault.CodeUnavailable, "the request body didn't arrive in time")
	return &transport{fault: f, status: http.StatusRequestTimeout}
}

// Panicked answers a request whose handler panicked.
func Panicked() error {
	return fault.New(fault.Internal, fault.CodeInternal,
		"something went wrong on our side; the log has the details under the request id")
}

// maxName bounds each name of a location that came from the request.
const maxName = 64

// Location makes a dotted path safe to send back: parts that aren't plainly names, `[A-Za-z0-9_.\[\]-]{1,64}`, become
// "?". Names of unexpected fields are text of whoever called.
func Location(path string) string {
	if plain(path) && len(path) <= maxName {
		return path
	}
	parts := strings.Split(path, ".")
	if len(parts) > maxDepth {
		parts = append(parts[:maxDepth:maxDepth], "?")
	}
	for i, p := range parts {
		if p == "" || len(p) > maxName || !plain(p) {
			parts[i] = "?"
		}
	}
	return strings.Join(parts, ".")
}

// maxDepth bounds the parts of a location: bodies nest no deeper than 64, and a header or query name has two parts.
const maxDepth = 70

func plain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '.', c == '-', c == '[', c == ']':
		default:
			return false
		}
	}
	return s != ""
}

// Package problem is the one place where errors become HTTP responses, in the form of the family that was called: the
// scan API's envelope, RFC 9457 problem documents everywhere else.
//
// It also makes the faults of the transport itself (malformed, too large, wrong media type, unknown route, wrong
// method), which no domain package knows. It must never send a cause, a submitted value, or a name from a request that
// isn't plainly a name. Start with Document, then status.go and huma.go.
package problem

import (
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"strconv"
	"time"

	"assay.dev/assay/internal/word/fault"
)

// Family is the part of the API that a route belongs to; it decides the form of errors.
type Family string

// Families.
const (
	Scan     Family = "scan"     // /scan-api: {success, error, code}, and 400 where the others say 422
	Vault    Family = "vault"    // /auth, /system and the other paths of the vault API
	Evidence Family = "evidence" // evidence packs under /api
	Platform Family = "platform" // what all share: assets, organization, log, health, documentation
)

// Envelope reports whether the family wraps its answers in {success, ...}.
func (f Family) Envelope() bool { return f == Scan }

// FamilyOf returns the family that answers for a path that no route matched.
func FamilyOf(path string) Family {
	const scan = "/scan-api"
	if len(path) >= len(scan) && path[:len(scan)] == scan && (len(path) == len(scan) || path[len(scan)] == '/') {
		return Scan
	}
	return Platform
}

// Field is one wrong place of a request.
type Field struct {
	Location string `json:"location" doc:"Dotted path of the wrong place." example:"body.options.ports"`
	Message  string `json:"message" doc:"What is wanted there; the submitted value is never repeated."`
}

// Envelope is the scan API's error body.
type Envelope struct {
	Success bool    `json:"success" doc:"Always false."`
	Error   string  `json:"error" doc:"What went wrong, for people."`
	Code    string  `json:"code" doc:"What went wrong, for programs; stable." example:"VALIDATION_ERROR"`
	Errors  []Field `json:"errors,omitempty" doc:"The wrong places, where there are any."`
}

// Details is the error body of the other families (RFC 9457 with error, code and errors).
type Details struct {
	Title    string  `json:"title" doc:"Short name of the kind of problem."`
	Status   int     `json:"status" doc:"The HTTP status."`
	Detail   string  `json:"detail" doc:"What went wrong, for people."`
	Instance string  `json:"instance,omitempty" doc:"This occurrence, by the request's id."`
	Error    string  `json:"error" doc:"The same as title."`
	Code     string  `json:"code" doc:"What went wrong, for programs; stable." example:"VALIDATION_ERROR"`
	Errors   []Field `json:"errors,omitempty" doc:"The wrong places, where there are any."`
}

// Document is an error on its way to the caller: status, headers and body, all decided. It is made by From only.
type Document struct { //nolint:errname // an answer, not an error; it has Error only to pass through huma
	status  int
	family  Family
	headers http.Header
	body    any
	code    fault.Code
}

// From decides how the family answers err. requestID names the occurrence; empty leaves it out.
func From(family Family, requestID string, err error) *Document {
	f := fault.Of(err)
	status, headers := Status(family, err), http.Header{}
	if t := transportOf(err); t != nil && t.allow != "" {
		headers.Set("Allow", t.allow)
	}
	if status == http.StatusUnauthorized {
		headers.Set("WWW-Authenticate", `Bearer realm="assay"`)
	}
	if f.RetryAfter > 0 {
		headers.Set("Retry-After", RetryAfter(f.RetryAfter))
	}
	d := &Document{status: status, family: family, headers: headers, code: f.Code}
	fields := fieldsOf(f)
	if family.Envelope() {
		d.body = Envelope{Error: f.Text, Code: string(f.Code), Errors: fields}
		return d
	}
	title := http.StatusText(status)
	if title == "" {
		title = "Request Cancelled"
	}
	instance := ""
	if requestID != "" {
		instance = "urn:assay:request:" + requestID
	}
	d.body = Details{
		Title: title, Status: status, Detail: f.Text, Instance: instance, Error: title, Code: string(f.Code), Errors: fields,
	}
	return d
}

// RetryAfter returns d as the header wants it: whole seconds, rounded up, at least 1.
func RetryAfter(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}

func fieldsOf(f *fault.Error) []Field {
	if len(f.Fields) == 0 {
		return nil
	}
	out := make([]Field, len(f.Fields))
	for i, x := range f.Fields {
		out[i] = Field{Location: x.Location, Message: x.Message}
	}
	return out
}

// Code returns the answer's machine-readable code, for logs and metrics.
func (d *Document) Code() fault.Code { return d.code }

// Error returns the code: a Document is an error only so that it can travel through huma.
func (d *Document) Error() string { return string(d.code) }

// GetStatus returns the HTTP status. Huma sends errors that have this method as they are, which is why faults have
// none and Documents do.
func (d *Document) GetStatus() int { return d.status }

// GetHeaders returns the headers that go with the answer; huma adds them.
func (d *Document) GetHeaders() http.Header { return d.headers }

// ContentType returns the body's media type, whatever was negotiated.
func (d *Document) ContentType(string) string {
	if d.family.Envelope() {
		return "application/json"
	}
	return "application/problem+json"
}

// MarshalJSON returns the body.
func (d *Document) MarshalJSON() ([]byte, error) { return json.Marshal(d.body) }

// Write answers with the document. Errors of the connection are dropped: nobody is left to tell.
func (d *Document) Write(w http.ResponseWriter) {
	h := w.Header()
	maps.Copy(h, d.headers)
	h.Set("Content-Type", d.ContentType(""))
	h.Del("Content-Length")
	b, err := json.Marshal(d.body)
	if err != nil {
		b = nil // texts and numbers only: it can't
	}
	w.WriteHeader(d.status)
	_, _ = w.Write(b)
}

package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
)

const about = `Scans find what is wrong with a target, the inventory says what there is, keys and roles say who may do what, and a log that anybody can verify proves what was done.

**Credentials.** An API key in ` + "`X-API-Key`" + ` or ` + "`Authorization: Bearer`" + `, or a session token as Bearer. Each operation names the scope it needs (` + "`x-scope`" + `).

**Errors.** The scan API answers ` + "`{success: false, error, code}`" + `; all others answer RFC 9457 problem documents with ` + "`code`" + ` and, where places are wrong, ` + "`errors[]`" + `. Codes are stable. A submitted value is never repeated.

**Rate limits.** Fixed windows aligned to UTC minute, hour and day. The three X-RateLimit headers are on every answer and describe the window with the least share left; 2147483647 says that no window applies.

**Writing once.** Operations that create or start something take ` + "`Idempotency-Key`" + ` for 24 hours.

**Audit.** Every call leaves an entry (` + "`x-audit-action`" + `) that is durable before the first byte of its answer.`

// document is the OpenAPI document before any operation is in it.
func document() *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Assay", Version: Version, Description: about,
			Contact: &huma.Contact{Name: "Whoever runs this server"},
		},
		Servers: []*huma.Server{{URL: "/", Description: "The server that this document comes from"}},
		Tags:    tags(),
		Components: &huma.Components{
			Schemas:   huma.NewMapRegistry("#/components/schemas/", schemaName),
			Responses: map[string]*huma.Response{},
			Headers:   headers(),
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"apiKey":  {Type: "apiKey", In: "header", Name: "X-API-Key", Description: "An API key: asy_live_ and 40 characters."},
				"bearer":  {Type: "http", Scheme: "bearer", Description: "An API key or the access token of a session."},
				"session": {Type: "apiKey", In: "cookie", Name: mw.CookieSecure, Description: "The session cookie of a browser; writes must come from the same origin."},
			},
		},
	}
}

// tags are the groups of operations, in the order in which a newcomer meets them.
func tags() []*huma.Tag {
	var out []*huma.Tag
	for _, name := range []string{
		"Scans", "Scan templates", "Engines", "Findings", "Reports", "Webhooks", "Assets", "Usage", "API keys", "Audit log", "Organization",
		"Signing in", "Server",
	} {
		out = append(out, &huma.Tag{Name: name})
	}
	return out
}

// schemaName names the two error bodies by what they are to a reader; all others by their type.
func schemaName(t reflect.Type, hint string) string {
	switch t {
	case reflect.TypeFor[problem.Details]():
		return "Problem"
	case reflect.TypeFor[problem.Envelope]():
		return "Failure"
	}
	return huma.DefaultSchemaNamer(t, hint)
}

func headers() map[string]*huma.Param {
	number := func(doc string) *huma.Param {
		return &huma.Param{Description: doc, Schema: &huma.Schema{Type: "integer"}}
	}
	text := func(doc string) *huma.Param {
		return &huma.Param{Description: doc, Schema: &huma.Schema{Type: "string"}}
	}
	return map[string]*huma.Param{
		"X-Request-Id":          text("The request's id: the caller's own where it sent a safe one."),
		"X-RateLimit-Limit":     number("Calls in the window with the least share left."),
		"X-RateLimit-Remaining": number("Calls left in it."),
		"X-RateLimit-Reset":     number("When it begins anew, in Unix seconds."),
		"Retry-After":           number("Seconds to wait."),
		"WWW-Authenticate":      text("How to sign in."),
		"Idempotency-Replayed":  text("true where the answer repeats an earlier call of the same key."),
	}
}

func headerRefs(names ...string) map[string]*huma.Param {
	out := make(map[string]*huma.Param, len(names))
	for _, n := range names {
		out[n] = &huma.Param{Ref: "#/components/headers/" + n}
	}
	return out
}

// operation describes a route for huma: who may call it, what it may answer, how it is entered.
func (a *API) operation(id string, r mw.Route, extra []int) huma.Operation {
	op := huma.Operation{
		OperationID: id, Method: r.Method, Path: r.Path, DefaultStatus: r.Status,
		MaxBodyBytes:    r.MaxBody + 1, // the chain has bounded the body already; huma counts a full one as too large
		BodyReadTimeout: -1,            // the chain has read the body; no deadline may end the handler's context
		Metadata:        map[string]any{problem.MetadataFamily: r.Family},
		Extensions:      map[string]any{"x-scope": string(r.Scope)},
		Responses:       map[string]*huma.Response{},
	}
	if r.MaxBody == 0 {
		op.MaxBodyBytes = mw.DefaultMaxBody + 1
	}
	shown := []string{"X-Request-Id"}
	if r.Exempt {
		op.Extensions["x-audit-action"] = "none"
	} else {
		op.Extensions["x-audit-action"] = string(r.Audit)
		shown = append(shown, "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
	}
	if r.Scope != access.Public {
		op.Security = []map[string][]string{{"apiKey": {}}, {"bearer": {}}, {"session": {}}}
	}
	if r.Once {
		maxLen := 255
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: mw.HeaderIdempotency, In: "header", Schema: &huma.Schema{Type: "string", MaxLength: &maxLen, Pattern: "^[!-~]+$"},
			Description: "1 to 255 visible characters. A repeated call with the same key and body gets the first one's answer, for 24 hours.",
		})
		shown = append(shown, "Idempotency-Replayed")
	}
	op.Responses[strconv.Itoa(r.Status)] = &huma.Response{Description: http.StatusText(r.Status), Headers: headerRefs(shown...)}
	for _, status := range failures(r, extra) {
		op.Responses[strconv.Itoa(status)] = a.failure(r, status, shown[:min(len(shown), 4)])
	}
	return op
}

// failures lists the statuses of errors that follow from what a route is.
func failures(r mw.Route, extra []int) []int {
	if r.Exempt {
		return extra
	}
	out := append([]int{400, 429, 500, 503}, extra...)
	if r.Scope != access.Public {
		out = append(out, 401, 403)
	}
	if strings.Contains(r.Path, "{") {
		out = append(out, 404)
	}
	if r.Body {
		out = append(out, 413, 415)
	}
	if !r.Family.Envelope() {
		out = append(out, 422)
	}
	if r.Once {
		out = append(out, 409)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// failure refers to the family's answer of a status, and makes it the first time.
func (a *API) failure(r mw.Route, status int, shown []string) *huma.Response {
	oapi := a.huma.OpenAPI()
	name, media := "Problem"+strconv.Itoa(status), "application/problem+json"
	var body any = problem.Details{}
	if r.Family.Envelope() {
		name, media, body = "ScanError"+strconv.Itoa(status), "application/json", problem.Envelope{}
	}
	if oapi.Components.Responses[name] == nil {
		shown = slices.Clone(shown)
		switch status {
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			shown = append(shown, "Retry-After")
		case http.StatusUnauthorized:
			shown = append(shown, "WWW-Authenticate")
		}
		oapi.Components.Responses[name] = &huma.Response{
			Description: http.StatusText(status), Headers: headerRefs(shown...),
			Content: map[string]*huma.MediaType{media: {Schema: a.schema(body)}},
		}
	}
	return &huma.Response{Ref: "#/components/responses/" + name}
}

// schema returns a reference to the schema of v's type.
func (a *API) schema(v any) *huma.Schema {
	return a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(v), true, "")
}

// produces documents the forms of an operation that writes its answer itself.
func (a *API) produces(op *huma.Operation, media []Media) {
	if len(media) == 0 {
		return
	}
	content := make(map[string]*huma.MediaType, len(media))
	for _, m := range media {
		s := &huma.Schema{Type: "string", Description: m.Doc}
		if m.Schema != nil {
			s = a.schema(m.Schema)
		}
		content[m.Type] = &huma.MediaType{Schema: s}
	}
	op.Responses[strconv.Itoa(op.DefaultStatus)].Content = content
}

// describe completes the document when the table is complete. Its texts are written when somebody first asks for them:
// that takes longer than all the rest of a start, and most starts serve no reader.
func (a *API) describe() {
	oapi := a.huma.OpenAPI()
	// huma derives a schema from the error type that travels through it, and a default answer where a route documents no
	// error; the families' own are in the responses.
	delete(oapi.Components.Schemas.Map(), "Document")
	for _, item := range oapi.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				delete(op.Responses, "default")
			}
		}
	}
	for _, s := range oapi.Components.Schemas.Map() {
		notNull(s, map[*huma.Schema]bool{})
	}
	a.json = sync.OnceValues(func() ([]byte, error) {
		raw, err := json.Marshal(oapi)
		if err != nil {
			return nil, err
		}
		var indented bytes.Buffer
		if err := json.Indent(&indented, raw, "", "  "); err != nil {
			return nil, err
		}
		indented.WriteByte('\n')
		return indented.Bytes(), nil
	})
	a.yaml = sync.OnceValues(oapi.YAML) // reads the document, as the other does: neither changes it
}

// notNull takes the null off every list: ours are never absent, only empty.
func notNull(s *huma.Schema, seen map[*huma.Schema]bool) {
	if s == nil || seen[s] {
		return
	}
	seen[s] = true
	if s.Type == huma.TypeArray {
		s.Nullable = false
	}
	notNull(s.Items, seen)
	for _, p := range s.Properties {
		notNull(p, seen)
	}
	if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
		notNull(more, seen)
	}
}

// JSON returns the OpenAPI document.
func (a *API) JSON() ([]byte, error) { return a.json() }

// Document returns the OpenAPI document of a table, as api/openapi.json holds it, without serving anything.
func Document(entries []Entry) ([]byte, error) {
	a, err := New(Deps{}, entries)
	if err != nil {
		return nil, err
	}
	return a.JSON()
}

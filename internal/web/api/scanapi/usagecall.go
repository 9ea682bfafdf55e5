package scanapi

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/api/envelope"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/web/report"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

func (h *handlers) callsRoute() api.Entry {
	return api.Op(api.Route[callsIn, api.Stream]{
		ID: "listUsageCalls", Method: http.MethodGet, Path: Base + "/usage/calls", Family: problem.Scan, Scope: access.UsageRead,
		Audit: event.UsageCallsRead, Tags: []string{tagUsage}, Summary: "List calls",
		Description: "The call log, newest first; filters combine. A call is here a fraction of a second after its answer. A page looks at " +
			"a bounded number of entries, so with filters it may be short, or empty, and still have a `nextCursor`: go on until there " +
			"is none, or say `from` and `to`. Each `id` is an entry of the audit log (`/api/log/proof/inclusion`), where client " +
			"address and user agent are too. `format=csv` answers the page as CSV and the cursor in the header `X-Next-Cursor`.",
		Produces: []api.Media{
			{Type: "application/json", Schema: envelope.Envelope[CallPage]{}},
			{Type: mediaCSV, Doc: "RFC 4180, with a header line"},
		},
		Handle: h.usageCalls,
	})
}

type callsIn struct {
	EventType string `query:"eventType" maxLength:"64" doc:"Exactly, such as scan.submitted."`
	Actor     string `query:"actor" maxLength:"64" doc:"Id of the key or user that called."`
	Method    string `query:"method" enum:"GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS,CONNECT,TRACE,OTHER"`
	Route     string `query:"route" maxLength:"255" doc:"The pattern, such as /scan-api/api/v1/scans/{id}."`
	Status    string `query:"status" maxLength:"3" doc:"A status (404) or a class (4xx)."`
	From      string `query:"from" maxLength:"40" doc:"Called at or after: RFC 3339, or a date."`
	To        string `query:"to" maxLength:"40" doc:"Called before: RFC 3339; a date is inclusive."`
	Limit     int    `query:"limit" default:"20" minimum:"1" maximum:"100" doc:"Calls a page."`
	Cursor    string `query:"cursor" maxLength:"256" doc:"nextCursor of the page before."`
	Format    string `query:"format" enum:"json,csv" default:"json"`
}

// CallPage is one page of the call log.
type CallPage struct {
	Calls      []Call     `json:"calls"`
	Pagination CallCursor `json:"pagination"`
}

// CallCursor says where a page of calls goes on.
type CallCursor struct {
	Limit      int    `json:"limit"`
	NextCursor string `json:"nextCursor,omitempty" doc:"Where the next page begins; absent on the last one."`
}

// Call is one call of the API.
type Call struct {
	ID              string        `json:"id" doc:"Of its audit entry."`
	Time            api.Time      `json:"time"`
	EventType       string        `json:"eventType"`
	Actor           CallActor     `json:"actor"`
	Method          string        `json:"method"`
	Route           string        `json:"route" doc:"The pattern, never the raw path."`
	Status          int           `json:"status"`
	DurationMs      float64       `json:"durationMs"`
	Resource        *CallResource `json:"resource,omitempty"`
	ClientRequestID string        `json:"clientRequestId,omitempty"`
	Reason          string        `json:"reason,omitempty"`
}

// CallActor is who called.
type CallActor struct {
	Kind string `json:"kind" enum:"api_key,user,operator,system,anonymous"`
	ID   string `json:"id"`
}

// CallResource is what a call was about.
type CallResource struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// callList names the list that cursors of calls belong to.
const callList = "calls"

func (h *handlers) usageCalls(ctx context.Context, in *callsIn) (*api.Stream, error) {
	org := mw.ActorFrom(ctx).Org
	filters := page.Filters(callList, in.EventType, in.Actor, in.Method, in.Route, in.Status, in.From, in.To)
	q, err := in.query(org, filters)
	if err != nil {
		return nil, err
	}
	found, err := h.d.Usage.Calls(ctx, org, q)
	if err != nil {
		return nil, err
	}
	out := CallPage{Calls: make([]Call, len(found.Items)), Pagination: CallCursor{Limit: in.Limit}}
	for i := range found.Items {
		out.Calls[i] = callView(&found.Items[i])
	}
	if found.Next > 0 {
		out.Pagination.NextCursor = page.Cursor(org, filters, page.Key{Sort: int64(found.Next), ID: callList}) //nolint:gosec // a log has less than 2^63 entries
	}
	if in.Format == "csv" {
		return api.Writes(ctx, func(w http.ResponseWriter) error {
			if next := out.Pagination.NextCursor; next != "" {
				w.Header().Set("X-Next-Cursor", next)
			}
			w.Header().Set("Content-Type", mediaCSV+"; charset=utf-8")
			w.Header().Set("Content-Disposition", `attachment; filename="calls.csv"`)
			return callsCSV(w, out.Calls)
		}), nil
	}
	return document(ctx, "application/json", "", func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(envelope.Envelope[CallPage]{Success: true, Data: out})
	}), nil
}

func (in *callsIn) query(org uid.Org, filters string) (usage.CallQuery, error) {
	q := usage.CallQuery{
		EventType: event.Audit(in.EventType), Actor: in.Actor, Method: in.Method, Route: in.Route, Limit: in.Limit,
	}
	var err error
	if q.Status, err = usage.ParseStatuses("query.status", in.Status); err != nil {
		return q, err
	}
	if q.From, q.To, err = envelope.Span(in.From, in.To); err != nil {
		return q, err
	}
	if in.Cursor == "" {
		return q, nil
	}
	at, err := page.Parse(org, filters, in.Cursor)
	if err == nil && (at.Sort <= 0 || at.ID != callList) {
		err = fault.Wrong("query.cursor", "is not a cursor of this list; leave it out to start at the newest")
	}
	q.Before = uint64(max(at.Sort, 0))
	return q, err
}

func callView(c *usage.LoggedCall) Call {
	v := Call{
		ID: string(c.ID), Time: api.At(c.Time), EventType: string(c.Type), Actor: CallActor{string(c.ActorKind), c.ActorID},
		Method: c.Method, Route: c.Route, Status: c.Status, DurationMs: float64(c.DurationMicros) / 1000,
		ClientRequestID: c.ClientRequestID, Reason: c.Reason,
	}
	if c.Resource.Kind != "" {
		v.Resource = &CallResource{c.Resource.Kind, c.Resource.ID}
	}
	return v
}

// callColumns are the columns of the CSV document, in order. They are a contract with whoever reads it by name.
func callColumns() []string {
	return []string{
		"id", "time", "eventType", "actorKind", "actorId", "method", "route", "status", "durationMs", "resourceKind",
		"resourceId", "clientRequestId", "reason",
	}
}

// callsCSV writes calls as RFC 4180 CSV. Callers choose their request ids, so every cell is made one that a spreadsheet
// doesn't run.
func callsCSV(w io.Writer, list []Call) error {
	out := csv.NewWriter(w)
	if err := out.Write(callColumns()); err != nil {
		return err
	}
	for _, c := range list {
		var about CallResource
		if c.Resource != nil {
			about = *c.Resource
		}
		row := []string{
			c.ID, string(c.Time), c.EventType, c.Actor.Kind, c.Actor.ID, c.Method, c.Route, strconv.Itoa(c.Status),
			strconv.FormatFloat(c.DurationMs, 'f', 3, 64), about.Kind, about.ID, c.ClientRequestID, c.Reason,
		}
		for i := range row {
			row[i] = report.Cell(row[i])
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

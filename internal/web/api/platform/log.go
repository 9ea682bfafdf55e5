package platform

import (
	"context"
	"net/http"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

const tagLog = "Audit log"

func (h *handlers) logRoutes() []api.Entry {
	return []api.Entry{
		api.Op(api.Route[struct{}, api.Stream]{
			ID: "getLogCheckpoint", Method: http.MethodGet, Path: "/api/log/checkpoint", Family: problem.Platform,
			Scope: access.AuditRead, Audit: event.LogCheckpointRead, Tags: []string{tagLog}, Summary: "Get a signed checkpoint",
			Description: "A C2SP signed note over the log's present size and root, signed by Ed25519 and ML-DSA-65.",
			Produces:    []api.Media{{Type: "text/plain", Doc: "C2SP signed note"}}, Handle: h.checkpoint,
		}),
		api.Op(api.Route[entriesIn, Out[EntryPage]]{
			ID: "listLogEntries", Method: http.MethodGet, Path: "/api/log/entries", Family: problem.Platform,
			Scope: access.AuditRead, Audit: event.LogEntriesRead, Tags: []string{tagLog}, Summary: "List audit entries",
			Description: "Newest first, entries that have no place in the log yet in front; `order=asc` reads from `from` on. Entries " +
				"that retention has dropped are 404.",
			Errors: []int{http.StatusNotFound}, Handle: h.entries,
		}),
		api.Op(api.Route[struct{}, Out[VerificationKeys]]{
			ID: "listVerificationKeys", Method: http.MethodGet, Path: "/api/keys", Family: problem.Platform,
			Scope: access.AuditRead, Audit: event.VerifyKeysRead, Tags: []string{tagLog},
			Summary:     "Get the organization's verification keys",
			Description: "With their history and validity: what checkpoints and evidence packs are verified by.", Handle: h.keys,
		}),
	}
}

type entriesIn struct {
	Limit  int    `query:"limit" default:"20" minimum:"1" maximum:"100"`
	Order  string `query:"order" enum:"desc,asc" default:"desc"`
	From   int64  `query:"from" minimum:"0" doc:"With order=asc: the first index; default: the first entry that retention has left."`
	Cursor string `query:"cursor" maxLength:"256" doc:"nextCursor of the page before."`
}

// EntryPage is one page of audit entries.
type EntryPage struct {
	Data []Entry   `json:"data"`
	Meta EntryMeta `json:"meta"`
}

// EntryMeta says where a page of entries stands.
type EntryMeta struct {
	Total      uint64 `json:"total" doc:"Entries that have a place in the log: its size."`
	First      uint64 `json:"first" doc:"Index of the first entry that retention has left; total still counts those before."`
	Limit      int    `json:"limit"`
	NextCursor string `json:"nextCursor,omitempty"`
}

// Entry is one audit entry.
type Entry struct {
	Index           *uint64   `json:"index" doc:"Its place in the log; null while it has none yet."`
	ID              string    `json:"id"`
	Time            time.Time `json:"time"`
	EventType       string    `json:"eventType"`
	Actor           Actor     `json:"actor"`
	ClientAddress   string    `json:"clientAddress,omitempty"`
	UserAgent       string    `json:"userAgent,omitempty"`
	Method          string    `json:"method,omitempty"`
	Route           string    `json:"route,omitempty" doc:"The pattern, never the raw path."`
	Resource        *Resource `json:"resource,omitempty"`
	Status          int       `json:"status,omitempty" doc:"Of the answer; a further entry of the same call, such as the end of a stream, has none."`
	DurationMs      float64   `json:"durationMs"`
	ClientRequestID string    `json:"clientRequestId,omitempty"`
	Reason          string    `json:"reason,omitempty"`
	Count           int64     `json:"count,omitempty" doc:"Calls that a summarised entry stands for."`
	Leaf            []byte    `json:"leaf" doc:"The bytes that the log holds."`
	LeafHash        []byte    `json:"leafHash" doc:"RFC 6962 hash of the leaf."`
}

// Actor is who did it.
type Actor struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// Resource is what it was done to.
type Resource struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// VerificationKeys are an organization's public keys.
type VerificationKeys struct {
	Format         string            `json:"format"`
	OrganizationID string            `json:"organizationId"`
	Keys           []VerificationKey `json:"keys"`
}

// VerificationKey is one public key.
type VerificationKey struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Algorithm string    `json:"algorithm" enum:"ed25519,ml-dsa-65"`
	PublicKey []byte    `json:"publicKey"`
	Purpose   string    `json:"purpose" enum:"log,evidence"`
	ValidFrom time.Time `json:"validFrom"`
	ValidTo   time.Time `json:"validTo,omitzero"`
}

func (h *handlers) checkpoint(ctx context.Context, _ *struct{}) (*api.Stream, error) {
	note, err := h.d.Log.Checkpoint(ctx, mw.ActorFrom(ctx).Org)
	if err != nil {
		return nil, err
	}
	return api.Writes(ctx, func(w http.ResponseWriter) error {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, err := w.Write(note)
		return err
	}), nil
}

func (h *handlers) keys(ctx context.Context, _ *struct{}) (*Out[VerificationKeys], error) {
	k, err := h.d.Log.Keys(ctx, mw.ActorFrom(ctx).Org)
	if err != nil {
		return nil, err
	}
	out := VerificationKeys{Format: k.Format, OrganizationID: string(k.Org), Keys: make([]VerificationKey, len(k.Keys))}
	for i, key := range k.Keys {
		out.Keys[i] = VerificationKey{
			ID: key.ID, Name: key.Name, Algorithm: string(key.Algorithm), PublicKey: key.PublicKey,
			Purpose: string(key.Purpose), ValidFrom: key.ValidFrom, ValidTo: key.ValidTo,
		}
	}
	return &Out[VerificationKeys]{Body: out}, nil
}

// logList names the list that entry cursors belong to.
const logList = "log"

func (h *handlers) entries(ctx context.Context, in *entriesIn) (*Out[EntryPage], error) {
	org := mw.ActorFrom(ctx).Org
	filters := page.Filters(logList, in.Order)
	at := uint64(in.From) //nolint:gosec // the schema's minimum is 0
	if in.Cursor != "" {
		k, err := page.Parse(org, filters, in.Cursor)
		if err != nil {
			return nil, err
		}
		at = uint64(max(k.Sort, 0))
	} else if in.Order == "desc" {
		at = 0
	}
	edge, err := h.d.Log.LogRange(ctx, org)
	if err != nil {
		return nil, err
	}
	first, newest, err := h.d.Log.LogFirst(ctx, org)
	if err != nil {
		return nil, err
	}
	if at < first && (at > 0 || in.Cursor != "") {
		return nil, dropped(first, newest)
	}
	list, err := h.read(ctx, org, in, at, edge.Size())
	if err != nil {
		return nil, err
	}
	out := EntryPage{Data: make([]Entry, len(list)), Meta: EntryMeta{Total: edge.Size(), First: first, Limit: in.Limit}}
	for i, e := range list {
		if out.Data[i], err = entryView(e); err != nil {
			return nil, err
		}
	}
	out.Meta.NextCursor = next(org, filters, in, list, out.Meta)
	return &Out[EntryPage]{Body: out}, nil
}

func (h *handlers) read(ctx context.Context, org uid.Org, in *entriesIn, at, size uint64) ([]LogEntry, error) {
	if in.Order == "asc" {
		return h.d.Log.LogEntries(ctx, org, at, size, in.Limit)
	}
	if in.Cursor != "" && at == 0 {
		return nil, nil // below the first entry there is nothing; 0 would mean the end
	}
	return h.d.Log.LogNewest(ctx, org, at, in.Limit)
}

// next is the cursor behind a full page: the index to begin at, or to stay below.
func next(org uid.Org, filters string, in *entriesIn, list []LogEntry, log EntryMeta) string {
	if len(list) < in.Limit {
		return ""
	}
	last := list[len(list)-1]
	at := last.Index
	switch {
	case last.Pending:
		at = log.Total // a page of pending entries only; the log's newest come next
	case in.Order == "asc":
		at++
	}
	if (in.Order == "asc" && at >= log.Total) || (in.Order != "asc" && at <= log.First) {
		return ""
	}
	return page.Cursor(org, filters, page.Key{Sort: int64(at), ID: logList}) //nolint:gosec // sizes stay far below 2^63
}

func entryView(e LogEntry) (Entry, error) {
	l, err := audit.ParseLeaf(e.Leaf)
	if err != nil {
		return Entry{}, fault.New(fault.Internal, fault.CodeLogCorrupt, "an audit entry can't be read").Because(err)
	}
	v := Entry{
		ID: string(e.ID), Time: l.Time, EventType: string(l.Type), Actor: Actor{Kind: string(l.ActorKind), ID: l.ActorID},
		Method: l.Method, Route: l.Route, Status: l.Status, DurationMs: float64(l.DurationMicros) / 1000,
		ClientRequestID: l.ClientRequestID, Reason: l.Reason, Leaf: e.Leaf, LeafHash: e.LeafHash[:],
	}
	if l.Count > 1 {
		v.Count = l.Count
	}
	if !e.Pending {
		index := e.Index
		v.Index = &index
	}
	if l.Resource.Kind != "" {
		v.Resource = &Resource{Kind: l.Resource.Kind, ID: l.Resource.ID}
	}
	if p := e.Personal; p != nil {
		v.ClientAddress, v.UserAgent, v.Actor.Name = p.ClientAddress, p.UserAgent, p.ActorName
	}
	return v, nil
}

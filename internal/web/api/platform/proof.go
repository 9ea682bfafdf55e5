package platform

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

func (h *handlers) proofRoutes() []api.Entry {
	return []api.Entry{
		api.Op(api.Route[inclusionIn, Out[InclusionProof]]{
			ID: "proveInclusion", Method: http.MethodGet, Path: "/api/log/proof/inclusion", Family: problem.Platform,
			Scope: access.AuditRead, Audit: event.LogProofRead, Tags: []string{tagLog}, Summary: "Prove that an entry is in the log",
			Description: "RFC 6962 inclusion proof, leaf to root, against the root of a checkpoint of that size. An entry that has no place yet: " +
				"409 `ENTRY_NOT_INTEGRATED`, for less than a second after its call.",
			Errors: []int{http.StatusNotFound, http.StatusConflict}, Handle: h.inclusion,
		}),
		api.Op(api.Route[consistencyIn, Out[ConsistencyProof]]{
			ID: "proveConsistency", Method: http.MethodGet, Path: "/api/log/proof/consistency", Family: problem.Platform,
			Scope: access.AuditRead, Audit: event.LogProofRead, Tags: []string{tagLog}, Summary: "Prove that the log only grew",
			Description: "RFC 6962 consistency proof between two sizes: the log of the second begins with the log of the first. Of sizes " +
				"before the first entry that retention has left, only multiples of 256 can still be proven.",
			Errors: []int{http.StatusNotFound}, Handle: h.consistency,
		}),
	}
}

type inclusionIn struct {
	EntryID string `query:"entryId" required:"true" maxLength:"36" doc:"The entry's id."`
	Size    int64  `query:"size" minimum:"0" doc:"Size of the checkpoint to prove against; default: the present one."`
}

type consistencyIn struct {
	From int64 `query:"from" required:"true" minimum:"1" doc:"Size of the older checkpoint."`
	To   int64 `query:"to" minimum:"0" doc:"Size of the newer one; default: the present one."`
}

// InclusionProof proves that an entry is in the log.
type InclusionProof struct {
	EntryID  string   `json:"entryId"`
	Index    uint64   `json:"index"`
	Size     uint64   `json:"size"`
	LeafHash []byte   `json:"leafHash"`
	Root     []byte   `json:"root"`
	Path     [][]byte `json:"path" doc:"Sibling hashes, leaf to root, in base64."`
}

// ConsistencyProof proves that a log is the beginning of another.
type ConsistencyProof struct {
	From uint64   `json:"from"`
	To   uint64   `json:"to"`
	Path [][]byte `json:"path"`
}

func (h *handlers) inclusion(ctx context.Context, in *inclusionIn) (*Out[InclusionProof], error) {
	org := mw.ActorFrom(ctx).Org
	if !uid.Valid(in.EntryID) {
		return nil, fault.Missing("audit entry")
	}
	e, err := h.d.Log.LogEntry(ctx, org, uid.Entry(in.EntryID))
	if err != nil {
		return nil, err
	}
	if e.Pending {
		return nil, fault.New(fault.Conflict, fault.CodeEntryUnproven,
			"the entry is durable but has no place in the log yet; ask again in a moment").After(time.Second)
	}
	size, err := h.size(ctx, org, "size", in.Size)
	if err != nil {
		return nil, err
	}
	if e.Index >= size {
		return nil, fault.Wrong("query.size", "must be more than the entry's index")
	}
	nodes := h.d.Log.LogNodes(org)
	path, err := audit.Inclusion(ctx, size, e.Index, nodes)
	if err != nil {
		return nil, err
	}
	edge, err := audit.LoadRange(ctx, size, nodes)
	if err != nil {
		return nil, err
	}
	root := edge.Root()
	return &Out[InclusionProof]{Body: InclusionProof{
		EntryID: string(e.ID), Index: e.Index, Size: size, LeafHash: e.LeafHash[:], Root: root[:], Path: hashes(path),
	}}, nil
}

func (h *handlers) consistency(ctx context.Context, in *consistencyIn) (*Out[ConsistencyProof], error) {
	org := mw.ActorFrom(ctx).Org
	from := uint64(in.From) //nolint:gosec // the schema's minimum is 1
	to, err := h.size(ctx, org, "to", in.To)
	if err != nil {
		return nil, err
	}
	if from > to {
		return nil, fault.Wrong("query.from", "must not be more than the newer size")
	}
	if err := h.provable(ctx, org, from, to); err != nil {
		return nil, err
	}
	path, err := audit.Consistency(ctx, from, to, h.d.Log.LogNodes(org))
	if err != nil {
		return nil, err
	}
	return &Out[ConsistencyProof]{Body: ConsistencyProof{From: from, To: to, Path: hashes(path)}}, nil
}

// provable refuses sizes whose proof needs what retention has dropped.
func (h *handlers) provable(ctx context.Context, org uid.Org, sizes ...uint64) error {
	first, newest, err := h.d.Log.LogFirst(ctx, org)
	if err != nil {
		return err
	}
	for _, size := range sizes {
		if !audit.Provable(size, first) {
			return dropped(first, newest)
		}
	}
	return nil
}

// dropped says that what was asked for is no longer there.
func dropped(first uint64, newest time.Time) error {
	return fault.New(fault.NotFound, fault.CodeNotFound, "it was dropped by retention: the log is kept from entry "+
		strconv.FormatUint(first, 10)+" on, without those up to "+newest.UTC().Format(time.RFC3339))
}

// size returns the wanted size of the log, 0 = the present one; more than there is, is wrong.
func (h *handlers) size(ctx context.Context, org uid.Org, field string, wanted int64) (uint64, error) {
	edge, err := h.d.Log.LogRange(ctx, org)
	if err != nil {
		return 0, err
	}
	n := uint64(max(wanted, 0))
	if n == 0 {
		return edge.Size(), nil
	}
	if n > edge.Size() {
		return 0, fault.Wrong("query."+field, "is more than the log holds")
	}
	return n, nil
}

func hashes(path [][]byte) [][]byte {
	if path == nil {
		return [][]byte{}
	}
	return path
}

package scanapi

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/api/envelope"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// maxBatchBody bounds the body of a batch, in bytes.
const maxBatchBody = 8 << 20

func (h *handlers) batchRoutes() []api.Entry {
	return []api.Entry{
		api.Op(api.Route[batchIn, envelope.Out[Batch]]{
			ID: "submitScans", Method: http.MethodPost, Path: Base + "/scans/batch", Family: problem.Scan,
			Scope: access.ScansCreate, Audit: event.ScanBatchSubmitted, Status: http.StatusCreated, Tags: []string{tagScans},
			Summary: "Submit many scans at once",
			Description: "Up to 1,000 orders in `scans`, or one for each of `targets`. Every other field is a default of each order: its own " +
				"value wins, `options` and `config` merge key by key. Each order is judged as `POST /scans` would, and each name is resolved once.\n\n" +
				"201 says that at least one scan was accepted: `items` holds, in the order of the orders, the scan or the error of each. Where " +
				"nothing is accepted the call fails and changes nothing; its code is the refusals' own where they share one, else " +
				"`VALIDATION_ERROR`, and `errors` names the refused orders. With `atomic` one refusal refuses all. Only accepted scans use quota; " +
				"where it doesn't hold all, the last ones are refused.",
			MaxBody: maxBatchBody, Errors: []int{http.StatusConflict}, Once: true, Replay: h.submittedBatch, Handle: h.submitBatch,
		}),
		api.Op(api.Route[editScanIn, envelope.Out[Scan]]{
			ID: "updateScan", Method: http.MethodPatch, Path: Base + "/scans/{id}", Family: problem.Scan, Scope: access.ScansCreate,
			Audit: event.ScanUpdated, Resource: "scan", Tags: []string{tagScans}, Summary: "Rename or tag a scan",
			Description: "In any state. What is left out stays; `tags` replaces all tags, an empty name takes it away.", Handle: h.editScan,
		}),
	}
}

// BatchOrder is one order of a batch, whose fields the batch's defaults may fill.
type BatchOrder struct {
	Target     string                     `json:"target,omitempty" maxLength:"2048" doc:"URL, host, domain, IP address, CIDR block, image or repository." example:"127.0.0.1"`
	ScanType   string                     `json:"scanType,omitempty" maxLength:"32" doc:"The engine; GET /engines lists them." example:"nmap"`
	Name       string                     `json:"name,omitempty" maxLength:"255"`
	TargetType string                     `json:"targetType,omitempty" enum:"host,url,domain,ip,network,image,repository,filesystem" doc:"Inferred from the target when absent."`
	Priority   string                     `json:"priority,omitempty" enum:"critical,high,normal,low"`
	Options    map[string]json.RawMessage `json:"options,omitempty"`
	Config     map[string]json.RawMessage `json:"config,omitempty"`
	Tags       []string                   `json:"tags,omitempty" maxItems:"20"`
	Timeout    int                        `json:"timeout,omitempty" minimum:"10" maximum:"86400" doc:"Seconds."`
	AssetID    string                     `json:"assetId,omitempty" maxLength:"36"`

	CallbackURL string `json:"callbackUrl,omitempty" maxLength:"2048" doc:"Told of each scan's end; as in POST /scans."`
}

// BatchOfOrders are many orders and what they share.
type BatchOfOrders struct {
	BatchOrder

	Scans   []BatchOrder `json:"scans,omitempty" maxItems:"1000" doc:"The orders; either these or targets."`
	Targets []string     `json:"targets,omitempty" maxItems:"1000" doc:"One order each, all else being shared."`
	Atomic  bool         `json:"atomic,omitempty" doc:"All or none."`
}

type batchIn struct {
	Body BatchOfOrders
}

// Batch is what became of a batch.
type Batch struct {
	ID       string      `json:"id" doc:"The batch's own id, by which the audit log knows it."`
	Accepted int         `json:"accepted"`
	Refused  int         `json:"refused"`
	Items    []BatchItem `json:"items" doc:"One for each order, in their order."`
}

// BatchItem is what became of one order: exactly one of scan and error is there.
type BatchItem struct {
	Index int         `json:"index" doc:"0-based position of the order."`
	Scan  *Scan       `json:"scan,omitempty"`
	Error *BatchError `json:"error,omitempty"`
}

// BatchError is why one order was refused.
type BatchError struct {
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Errors  []problem.Field `json:"errors,omitempty" doc:"The wrong places, where there are any."`
}

// orders spreads a batch out.
func (b BatchOfOrders) orders() ([]scan.Order, error) {
	if len(b.Scans) > 0 && len(b.Targets) > 0 {
		return nil, fault.Wrong("targets", "can't be given beside scans")
	}
	list := b.Scans
	for _, t := range b.Targets {
		list = append(list, BatchOrder{Target: t})
	}
	out := make([]scan.Order, len(list))
	for i, o := range list {
		out[i] = Order(o.over(b.BatchOrder)).order()
	}
	return out, nil
}

// over returns the order with what it leaves open taken from the defaults.
func (o BatchOrder) over(d BatchOrder) BatchOrder {
	choose(&o.Target, d.Target)
	choose(&o.ScanType, d.ScanType)
	choose(&o.Name, d.Name)
	choose(&o.TargetType, d.TargetType)
	choose(&o.Priority, d.Priority)
	choose(&o.Timeout, d.Timeout)
	choose(&o.AssetID, d.AssetID)
	choose(&o.CallbackURL, d.CallbackURL)
	o.Options, o.Config = merged(d.Options, o.Options), merged(d.Config, o.Config)
	if o.Tags == nil {
		o.Tags = d.Tags
	}
	return o
}

func choose[T comparable](value *T, otherwise T) {
	var none T
	if *value == none {
		*value = otherwise
	}
}

func merged(defaults, own map[string]json.RawMessage) map[string]json.RawMessage {
	if len(defaults) == 0 || len(own) == 0 {
		if len(own) > 0 {
			return own
		}
		return defaults
	}
	out := maps.Clone(defaults)
	maps.Copy(out, own)
	return out
}

// order is the order as the scan service takes it.
func (o Order) order() scan.Order {
	return scan.Order{
		Target: o.Target, TargetType: asset.TargetType(o.TargetType), Engine: o.ScanType, Name: o.Name,
		Priority: scan.Priority(o.Priority), Options: o.Options, Config: o.Config, Tags: o.Tags, Timeout: o.Timeout,
		Asset: uid.Asset(o.AssetID), CallbackURL: o.CallbackURL,
	}
}

func (h *handlers) submitBatch(ctx context.Context, in *batchIn) (*envelope.Out[Batch], error) {
	orders, err := in.Body.orders()
	if err != nil {
		return nil, err
	}
	b, err := h.d.Scans.SubmitBatch(ctx, mw.ActorFrom(ctx), orders, in.Body.Atomic)
	if err != nil {
		return nil, err
	}
	return envelope.OK(batchView(b)), nil
}

func (h *handlers) submittedBatch(ctx context.Context, id string) (*envelope.Out[Batch], error) {
	b, err := h.d.Scans.Batch(ctx, mw.ActorFrom(ctx).Org, uid.Batch(id))
	if err != nil {
		return nil, err
	}
	return envelope.OK(batchView(b)), nil
}

func batchView(b scan.Batch) Batch {
	out := Batch{ID: string(b.ID), Items: make([]BatchItem, len(b.Items))}
	out.Accepted, out.Refused = b.Counts()
	for i, item := range b.Items {
		out.Items[i].Index = i
		if f := item.Refused; f != nil {
			e := &BatchError{Code: string(f.Code), Message: f.Text}
			for _, w := range f.Fields {
				e.Errors = append(e.Errors, problem.Field{Location: w.Location, Message: w.Message})
			}
			out.Items[i].Error = e
			continue
		}
		v := view(item.Scan)
		out.Items[i].Scan = &v
	}
	return out
}

// ScanPatch changes what is given.
type ScanPatch struct {
	Name *string   `json:"name,omitempty" maxLength:"255"`
	Tags *[]string `json:"tags,omitempty" maxItems:"20"`
}

type editScanIn struct {
	ScanRef
	Body ScanPatch
}

func (h *handlers) editScan(ctx context.Context, in *editScanIn) (*envelope.Out[Scan], error) {
	if _, err := h.find(ctx, in.ID, in.ScanType); err != nil {
		return nil, err
	}
	s, err := h.d.Scans.Edit(ctx, mw.ActorFrom(ctx), uid.Scan(in.ID), scan.Patch{Name: in.Body.Name, Tags: in.Body.Tags})
	if err != nil {
		return nil, err
	}
	return envelope.OK(view(s)), nil
}

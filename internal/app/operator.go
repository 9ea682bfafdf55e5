package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Operator is the local command line's way to act on a data folder: through the running server's socket where one
// runs, else by opening the database itself. Whoever may read the folder may do everything, so each act is audited as
// the operator's. Methods are safe for concurrent use.
type Operator struct{ cfg config.Config }

// NewOperator returns the operator of the data folder that cfg names. Nothing is opened before the first act.
func NewOperator(cfg config.Config) Operator { return Operator{cfg: cfg} }

// act is one thing an operator can do. It reads its order and writes its answer as JSON or as the document it makes.
type act func(ctx context.Context, g *ground, order json.RawMessage, out io.Writer) error

// acts lists everything that the socket takes.
func acts() map[string]act {
	all := map[string]act{
		"engine.told":  typed(engineTold),
		"intel.status": typed(intelStatus),
		"init":         typed(initialize),
		"server":       typed(serverTold),
		"org.create":   typed(createOrganization),
		"org.list":     typed(listOrganizations),
		"org.plan":     typed(setPlan),
		"org.suspend":  typed(suspend),
		"key.create":   typed(createKey),
		"key.list":     typed(listKeys),
		"key.revoke":   typed(revokeKey),
		"keys.export":  exportKeys,
		"log.export":   exportLog,
		"log.erase":    typed(eraseLog),
	}
	maps.Copy(all, keyActs())
	return all
}

// typed makes an act of a function from an order to an answer.
func typed[I, O any](f func(context.Context, *ground, I) (O, error)) act {
	return func(ctx context.Context, g *ground, order json.RawMessage, out io.Writer) error {
		var in I
		if err := json.Unmarshal(order, &in); err != nil {
			return fault.New(fault.Invalid, fault.CodeValidation, "the order can't be read").Because(err)
		}
		answer, err := f(ctx, g, in)
		if err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(answer)
	}
}

// asOperator marks everything done under ctx as the operator's act.
func asOperator(ctx context.Context, now time.Time, name string) context.Context {
	return audit.WithCall(ctx, &audit.Call{
		Start: now, Method: "LOCAL", Route: name,
		Actor: audit.Actor{Kind: audit.ActorOperator, ID: fmt.Sprintf("uid:%d", os.Getuid())},
	})
}

// do runs one act and streams its answer to out.
func (o Operator) do(ctx context.Context, name string, order any, out io.Writer) error {
	body, err := json.Marshal(order)
	if err != nil {
		return fmt.Errorf("writing the order: %w", err)
	}
	err = callSocket(ctx, o.cfg, name, body, out)
	if !errors.Is(err, errNoServer) {
		return err
	}
	g, err := openGround(ctx, o.cfg, io.Discard, nil)
	if err != nil {
		return err
	}
	err = acts()[name](asOperator(ctx, g.now(), name), g, body, out)
	return errors.Join(err, g.close(ctx))
}

// ask runs an act whose answer is JSON.
func ask[O any](ctx context.Context, o Operator, name string, order any) (O, error) {
	var answer O
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := o.do(ctx, name, order, w)
		w.CloseWithError(err)
		done <- err
	}()
	decodeErr := json.NewDecoder(r).Decode(&answer)
	_, _ = io.Copy(io.Discard, r) // lets the act end; its error is told below
	if err := <-done; err != nil {
		return answer, err
	}
	if decodeErr != nil {
		return answer, fault.New(fault.Internal, fault.CodeInternal, "the answer can't be read").Because(decodeErr)
	}
	return answer, nil
}

// systemOrg is what an operator may call the server's own log (decisions G14).
const systemOrg = "system"

// orgOrder names an organization; an empty id means the only one.
type orgOrder struct {
	Org string `json:"org"`
}

// resolve finds the organization that an order names.
func (g *ground) resolve(ctx context.Context, id string) (uid.Org, error) {
	if id == systemOrg || id == string(uid.System) {
		return uid.System, nil
	}
	if id != "" {
		if !uid.Valid(id) {
			return "", fault.Wrong("org", "is not an organization id; `assay org list` shows them")
		}
		o, err := g.store.Tenants().Organization(ctx, uid.Org(id))
		return o.ID, err
	}
	all, err := g.orgs.List(ctx)
	if err != nil {
		return "", err
	}
	switch len(all) {
	case 0:
		return "", fault.New(fault.NotFound, fault.CodeNotFound, "there is no organization yet; `assay init` makes the first")
	case 1:
		return all[0].ID, nil
	}
	return "", fault.Wrong("org", "must be given, because there are several organizations; `assay org list` shows them")
}

// ExportKeys writes the organization's verification keys as a JSON document.
func (o Operator) ExportKeys(ctx context.Context, org string, w io.Writer) error {
	return o.do(ctx, "keys.export", orgOrder{org}, w)
}

// ExportLog writes the organization's audit log with its newest checkpoint.
func (o Operator) ExportLog(ctx context.Context, org string, w io.Writer) error {
	return o.do(ctx, "log.export", orgOrder{org}, w)
}

func exportKeys(ctx context.Context, g *ground, order json.RawMessage, out io.Writer) error {
	org, err := orderedOrg(ctx, g, order)
	if err != nil {
		return err
	}
	doc, err := g.signing.Keys(ctx, org)
	if err != nil {
		return err
	}
	if err := g.store.Record(ctx, org, audit.Event{Type: event.VerifyKeysExport}); err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}

func exportLog(ctx context.Context, g *ground, order json.RawMessage, out io.Writer) error {
	org, err := orderedOrg(ctx, g, order)
	if err != nil {
		return err
	}
	// The export's own entry goes in first, so that a complete export shows that it was made.
	if err := g.store.Record(ctx, org, audit.Event{Type: event.LogExported}); err != nil {
		return err
	}
	// On PostgreSQL entries get their place in the log a moment after their commit; the export must hold its own.
	if err := g.store.Sequence(ctx); err != nil {
		return err
	}
	return g.signing.Export(ctx, org, out)
}

func orderedOrg(ctx context.Context, g *ground, order json.RawMessage) (uid.Org, error) {
	var in orgOrder
	if err := json.Unmarshal(order, &in); err != nil {
		return "", fault.New(fault.Invalid, fault.CodeValidation, "the order can't be read").Because(err)
	}
	return g.resolve(ctx, in.Org)
}

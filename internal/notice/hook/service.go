package hook

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Bounds of what an organization may register.
const (
	MaxWebhooks  = 100
	maxPatterns  = 50
	MaxOverlap   = 168 // hours
	startOverlap = 24  // hours
)

// DefaultEvents are what a webhook gets that names none.
func DefaultEvents() []string {
	return []string{string(event.ScanCompleted), string(event.ScanFailed)}
}

// Sealer keeps secrets at rest.
type Sealer interface {
	Opener

	Seal(org uid.Org, record string, plain []byte) ([]byte, error)
}

// CallbackSecrets tells whether an organization has the secret that callbacks are signed with; NotFound where not.
type CallbackSecrets interface {
	SealedCallbackSecret(ctx context.Context, org uid.Org) ([]byte, error)
}

// Deps is what a Service is made of; all are required, but Changed.
type Deps struct {
	Store     Store
	Callbacks CallbackSecrets
	Sealer    Sealer
	Sender    *Sender
	Addresses Addresses
	Base      string // public address of the server, for links
	Now       func() time.Time
	IDs       *uid.Source
	Rand      io.Reader // cryptographically strong
	// Changed is called after a commit that may have made deliveries due; it must not block. nil = nobody listens.
	Changed func()
}

// Service is what people do with webhooks. It is safe for concurrent use.
type Service struct{ d Deps }

// New returns a Service.
func New(d Deps) *Service {
	if d.Changed == nil {
		d.Changed = func() {}
	}
	return &Service{d: d}
}

// Draft is a webhook as it was asked for, unchecked.
type Draft struct {
	Name        string
	Description string
	URL         string
	Events      []string // empty = DefaultEvents
}

// Patch changes what isn't nil.
type Patch struct {
	Name        *string
	Description *string
	URL         *string
	Events      *[]string
	Active      *bool
	// Replay says whether held deliveries are made when the webhook is enabled; nil = they are.
	Replay *bool
}

func (s *Service) now() time.Time { return instant(s.d.Now) }

func about(id uid.Webhook) audit.Resource { return audit.Resource{Kind: "webhook", ID: string(id)} }

func missing() error { return fault.Missing("webhook") }

// Create registers a webhook and returns it with its secret, which is shown this once. Faults: Invalid naming the field;
// Conflict where the organization has MaxWebhooks.
func (s *Service) Create(ctx context.Context, a access.Actor, d Draft) (Issued, error) {
	now := s.now()
	w := Webhook{
		ID: uid.Webhook(idPrefix + s.d.IDs.New()), Org: a.Org, CreatedBy: a.Principal(), CreatedAt: now, UpdatedAt: now,
	}
	if len(d.Events) == 0 {
		d.Events = DefaultEvents()
	}
	err := s.apply(&w, Patch{Name: &d.Name, Description: &d.Description, URL: &d.URL, Events: &d.Events})
	if err != nil {
		return Issued{}, err
	}
	plain, sealed, err := s.newSecret(w.Org, w.ID)
	if err != nil {
		return Issued{}, err
	}
	defer clear(plain)
	w.Sealed = sealed
	ev := audit.Event{Type: event.WebhookCreated, Resource: about(w.ID)}
	err = s.d.Store.Change(ctx, a.Org, ev, func(ctx context.Context, tx Tx) error {
		n, err := tx.CountWebhooks(ctx)
		if err != nil {
			return err
		}
		if n >= MaxWebhooks {
			return fault.New(fault.Conflict, fault.CodeConflict, "the organization has 100 webhooks, which is the most; delete one first")
		}
		return tx.InsertWebhook(ctx, w)
	})
	if err != nil {
		return Issued{}, err
	}
	return Issued{Webhook: w, Secret: secretText(plain)}, nil
}

// newSecret makes a secret and seals it. The caller clears plain.
func (s *Service) newSecret(org uid.Org, id uid.Webhook) (plain, sealed []byte, err error) {
	plain = make([]byte, secretBytes)
	if _, err := io.ReadFull(s.d.Rand, plain); err != nil {
		return nil, nil, fault.Of(fmt.Errorf("reading randomness: %w", err))
	}
	sealed, err = s.d.Sealer.Seal(org, Record(id), plain)
	if err != nil {
		return nil, nil, fault.Of(fmt.Errorf("sealing a webhook's secret: %w", err))
	}
	return plain, sealed, nil
}

// apply checks what the patch sets and takes it over.
func (s *Service) apply(w *Webhook, p Patch) (err error) {
	if p.Name != nil {
		if w.Name, err = asset.ParseName("name", *p.Name); err != nil {
			return err
		}
	}
	if p.Description != nil {
		if w.Description, err = asset.ParseNote("description", *p.Description); err != nil {
			return err
		}
	}
	if p.Events != nil {
		if w.Events, err = parseEvents(*p.Events); err != nil {
			return err
		}
	}
	if p.URL == nil {
		return nil
	}
	u, err := ParseURL("url", *p.URL, s.d.Addresses)
	if err != nil {
		return err
	}
	if u != w.URL {
		w.URL, w.Failures, w.FailingSince = u, 0, time.Time{} // another receiver: nothing is known of it
	}
	return nil
}

// parseEvents reads the patterns of a subscription, duplicates left out, order kept.
func parseEvents(list []string) ([]string, error) {
	if len(list) == 0 || len(list) > maxPatterns {
		return nil, fault.Wrong("events", "must name 1 to 50 event types")
	}
	out := make([]string, 0, len(list))
	for i, p := range list {
		if !event.KnownPattern(p) {
			return nil, fault.Wrong(fmt.Sprintf("events[%d]", i), "must be *, or one of "+eventNames())
		}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out, nil
}

func eventNames() string {
	names := make([]string, 0, 16)
	for _, t := range event.Types() {
		names = append(names, string(t))
	}
	return strings.Join(names, ", ")
}

// Get returns a webhook; another organization's, and an id that is none, are NotFound faults.
func (s *Service) Get(ctx context.Context, org uid.Org, id uid.Webhook) (Webhook, error) {
	if !ValidID(string(id)) {
		return Webhook{}, missing()
	}
	return s.d.Store.Webhook(ctx, org, id)
}

// List returns one page of webhooks, newest first.
func (s *Service) List(ctx context.Context, org uid.Org, p page.Request) (List, error) {
	return s.d.Store.Webhooks(ctx, org, p)
}

// Update changes what the patch sets. Enabling a webhook begins a new life: its health starts anew, and what was held
// is delivered unless the patch says otherwise.
func (s *Service) Update(ctx context.Context, a access.Actor, id uid.Webhook, p Patch) (Webhook, error) {
	if !ValidID(string(id)) {
		return Webhook{}, missing()
	}
	var out Webhook
	var enabled, disabled bool
	now := s.now()
	ev := audit.Event{Type: event.WebhookUpdated, Resource: about(id)}
	err := s.d.Store.Change(ctx, a.Org, ev, func(ctx context.Context, tx Tx) error {
		w, err := tx.WebhookForUpdate(ctx, id)
		if err != nil {
			return err
		}
		if err := s.apply(&w, p); err != nil {
			return err
		}
		enabled, disabled = p.Active != nil && *p.Active && !w.Active(), p.Active != nil && !*p.Active && w.Active()
		switch {
		case enabled:
			w.Stop, w.Failures, w.FailingSince = "", 0, time.Time{}
		case disabled:
			w.Stop = StoppedByUser
		}
		w.UpdatedAt = now
		out = w
		if err := tx.UpdateWebhook(ctx, w); err != nil || !disabled {
			return err
		}
		_, err = tx.HoldDeliveries(ctx, id)
		return err
	})
	if err != nil {
		return Webhook{}, err
	}
	if enabled && (p.Replay == nil || *p.Replay) {
		if _, err := s.revive(ctx, a.Org, Revival{Hook: id, State: Held, At: now}); err != nil {
			return out, err
		}
	}
	s.d.Changed()
	return out, nil
}

// Delete removes a webhook, its secrets and its deliveries.
func (s *Service) Delete(ctx context.Context, a access.Actor, id uid.Webhook) (Webhook, error) {
	if !ValidID(string(id)) {
		return Webhook{}, missing()
	}
	var gone Webhook
	ev := audit.Event{Type: event.WebhookDeleted, Resource: about(id)}
	err := s.d.Store.Change(ctx, a.Org, ev, func(ctx context.Context, tx Tx) error {
		var err error
		if gone, err = tx.WebhookForUpdate(ctx, id); err != nil {
			return err
		}
		return tx.DeleteWebhook(ctx, id)
	})
	if err != nil {
		return Webhook{}, err
	}
	rest := audit.Bookkeeping("deliveries of a deleted webhook")
	rest.Bulk = true
	for n := MaxChunk; n == MaxChunk; {
		err := s.d.Store.Change(ctx, a.Org, rest, func(ctx context.Context, tx Tx) (err error) {
			n, err = tx.DropDeliveries(ctx, id)
			return err
		})
		if err != nil {
			break // nobody sees them; the sweep removes what is left
		}
	}
	return gone, nil
}

// Rotate gives a webhook a new secret at once; the old one goes on signing beside it for some hours (nil = 24, 0 cuts
// it), so that a receiver may change at its leisure.
func (s *Service) Rotate(ctx context.Context, a access.Actor, id uid.Webhook, overlap *int) (Issued, error) {
	hours := startOverlap
	if overlap != nil {
		hours = *overlap
	}
	if hours < 0 || hours > MaxOverlap {
		return Issued{}, fault.Wrong("overlapHours", "must be from 0 to 168")
	}
	if !ValidID(string(id)) {
		return Issued{}, missing()
	}
	plain, sealed, err := s.newSecret(a.Org, id)
	if err != nil {
		return Issued{}, err
	}
	defer clear(plain)
	var out Webhook
	now := s.now()
	ev := audit.Event{Type: event.WebhookSecretRotated, Resource: about(id)}
	err = s.d.Store.Change(ctx, a.Org, ev, func(ctx context.Context, tx Tx) error {
		w, err := tx.WebhookForUpdate(ctx, id)
		if err != nil {
			return err
		}
		w.Previous, w.PreviousUntil = w.Sealed, now.Add(time.Duration(hours)*time.Hour)
		if hours == 0 {
			w.Previous, w.PreviousUntil = nil, time.Time{}
		}
		w.Sealed, w.UpdatedAt = sealed, now
		out = w
		return tx.UpdateWebhook(ctx, w)
	})
	if err != nil {
		return Issued{}, err
	}
	return Issued{Webhook: out, Secret: secretText(plain)}, nil
}

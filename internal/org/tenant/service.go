package tenant

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/secret"
	"assay.dev/assay/internal/word/uid"
)

// Sealer encrypts under the master key, bound to the organization and the record's name (decisions G16).
type Sealer interface {
	Seal(org uid.Org, record string, plain []byte) ([]byte, error)
}

// CallbackRecord is the record name under which an organization's callback secret is sealed.
const CallbackRecord = "callback_secret"

const callbackBytes = 32

// Deps is what a Service is made of; all are required.
type Deps struct {
	Store  Store
	Sealer Sealer
	Rand   io.Reader // cryptographically strong
	// Zone loads a time zone by its IANA name; time.LoadLocation with the embedded database.
	Zone func(name string) (*time.Location, error)
}

// Service is what an organization may do with itself. It is safe for concurrent use.
type Service struct{ d Deps }

// New returns a Service.
func New(d Deps) *Service { return &Service{d: d} }

// Organization returns an organization; NotFound where there is none.
func (s *Service) Organization(ctx context.Context, org uid.Org) (Organization, error) {
	return s.d.Store.Organization(ctx, org)
}

// Settings returns an organization's settings.
func (s *Service) Settings(ctx context.Context, org uid.Org) (Settings, error) {
	return s.d.Store.Settings(ctx, org)
}

// UpdateSettings changes what the patch sets. Faults: Invalid naming every wrong field; nothing is changed then.
func (s *Service) UpdateSettings(ctx context.Context, org uid.Org, p SettingsPatch) (Settings, error) {
	zoneKnown := p.TimeZone == nil || s.knownZone(*p.TimeZone)
	var out Settings
	err := s.d.Store.Change(ctx, org, happened(event.SettingsUpdated, org), func(ctx context.Context, tx Tx) error {
		now, err := tx.SettingsForUpdate(ctx)
		if err != nil {
			return err
		}
		next := p.apply(now)
		if err := check(next, zoneKnown); err != nil {
			return err
		}
		out = next
		return tx.PutSettings(ctx, next)
	})
	if err != nil {
		return Settings{}, err
	}
	return out, nil
}

// RotateCallbackSecret gives the organization a new secret for its callbacks, at once, and returns it in the form that
// Standard Webhooks libraries take: whsec_ and the base64 of 32 bytes. It is shown once; the sealed bytes are kept.
func (s *Service) RotateCallbackSecret(ctx context.Context, org uid.Org) (secret.Text, error) {
	plain := make([]byte, callbackBytes)
	defer clear(plain)
	if _, err := io.ReadFull(s.d.Rand, plain); err != nil {
		return secret.Text{}, fault.Of(fmt.Errorf("reading randomness: %w", err))
	}
	sealed, err := s.d.Sealer.Seal(org, CallbackRecord, plain)
	if err != nil {
		return secret.Text{}, fault.Of(fmt.Errorf("sealing the callback secret: %w", err))
	}
	err = s.d.Store.Change(ctx, org, happened(event.CallbackKeyRotated, org), func(ctx context.Context, tx Tx) error {
		return tx.PutCallbackSecret(ctx, sealed)
	})
	if err != nil {
		return secret.Text{}, err
	}
	return secret.New("whsec_" + base64.StdEncoding.EncodeToString(plain)), nil
}

func happened(t event.Audit, org uid.Org) audit.Event {
	return audit.Event{Type: t, Resource: audit.Resource{Kind: "organization", ID: string(org)}}
}

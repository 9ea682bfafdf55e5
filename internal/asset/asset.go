// Package asset is what there is: the one inventory of hosts, services, URLs, repositories, secrets, certificates and
// cloud resources that scans, vaults and evidence refer to; the parsing of scan targets; and the scan-scope policy,
// which says what an organization may touch.
//
// It never connects to anything: names are resolved by whoever asks, and the policy decides on addresses. Start with
// Asset, then target.go and scope.go.
package asset

import (
	"context"
	"encoding/json"
	"net"
	"net/url"
	"strings"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Kind is the kind of an asset (decisions C19).
type Kind string

// Asset kinds.
const (
	KindHost        Kind = "host"
	KindService     Kind = "service"
	KindURL         Kind = "url"
	KindDomain      Kind = "domain"
	KindRepository  Kind = "repository"
	KindImage       Kind = "image"
	KindVault       Kind = "vault"
	KindSecret      Kind = "secret"
	KindKey         Kind = "key"
	KindCertificate Kind = "certificate"
	KindApp         Kind = "app_registration"
	KindCloud       Kind = "cloud_resource"
)

// Kinds lists every kind, for validation and the API document.
func Kinds() []Kind {
	return []Kind{
		KindHost, KindService, KindURL, KindDomain, KindRepository, KindImage, KindVault, KindSecret, KindKey,
		KindCertificate, KindApp, KindCloud,
	}
}

// Bounds of an asset's fields (decisions G6).
const (
	MaxName       = 255
	MaxNote       = 2000
	MaxTags       = 20
	MaxTag        = 64
	MaxAttributes = 16 << 10 // bytes of the attributes object
)

// Asset is one entry of the inventory. Kind and Name identify it within its organization; Name is the canonical text
// of what it is (an address, host:port/proto, a URL, a domain).
type Asset struct {
	ID          uid.Asset
	Kind        Kind
	Name        string
	Note        string
	Tags        []string
	Attributes  json.RawMessage // a JSON object, opaque to the store; nil = none
	Source      string          // "user", or the engine that found it
	Status      string          // "active" or "removed"
	CreatedAt   time.Time
	UpdatedAt   time.Time
	FirstSeenAt time.Time
	LastSeenAt  time.Time
}

// Host returns the host that an asset is or is on: a host's or domain's name, a service's or URL's host; empty for
// other kinds.
func (a Asset) Host() string {
	switch a.Kind {
	case KindHost, KindDomain:
		return a.Name
	case KindService:
		name, _, _ := strings.Cut(a.Name, "/")
		if host, _, err := net.SplitHostPort(name); err == nil {
			return host
		}
	case KindURL:
		if u, err := url.Parse(a.Name); err == nil {
			return u.Hostname()
		}
	case KindRepository, KindImage, KindVault, KindSecret, KindKey, KindCertificate, KindApp, KindCloud:
	}
	return ""
}

// Observation is an asset as a scan saw it: created when unknown, its attributes and last-seen time renewed when
// known. It never changes what a person wrote (note, tags).
type Observation struct {
	Kind       Kind
	Name       string
	Attributes json.RawMessage
	Source     string
	// Aside keeps the attributes with the scan only: the inventory's own stay as they are.
	Aside bool `json:",omitempty"`
}

// Query filters a list. Empty fields don't filter. Q is free text over name and note: its total is unknown.
type Query struct {
	Kind   Kind
	Tag    string
	Status string
	Name   string
	Q      string
	Page   page.Request
}

// List is one page of assets, newest first. Next is zero at the end.
type List struct {
	Items []Asset
	Total page.Total
	Next  page.Key
}

// Store is what the inventory needs of a database. Reads are scoped to org; another organization's asset is a
// NotFound fault.
type Store interface {
	Asset(ctx context.Context, org uid.Org, id uid.Asset) (Asset, error)
	Assets(ctx context.Context, org uid.Org, q Query) (List, error)
	ScanScope(ctx context.Context, org uid.Org) (Scope, error)
	Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, Tx) error) error
}

// Tx are the writes of one unit, scoped to the organization of the change. A unit may run twice.
type Tx interface {
	// AssetForUpdate reads an asset as it is inside this unit and holds it until the unit ends, so that a change never
	// writes back what another change has replaced meanwhile; NotFound where there is none.
	AssetForUpdate(ctx context.Context, id uid.Asset) (Asset, error)
	// InsertAsset adds an asset; one of the same kind and name is a Conflict fault.
	InsertAsset(ctx context.Context, a Asset) error
	// UpdateAsset writes note, tags, attributes, status and UpdatedAt of an asset; NotFound where there is none.
	UpdateAsset(ctx context.Context, a Asset) error
	// DeleteAsset removes an asset; NotFound where there is none.
	DeleteAsset(ctx context.Context, id uid.Asset) error
	// ObserveAssets upserts what a scan saw, at most 500 at a time, in one statement per chunk.
	ObserveAssets(ctx context.Context, obs []Observation, at time.Time) error
	// PutScanScope replaces the organization's scan scope.
	PutScanScope(ctx context.Context, s Scope) error
}

package platform

import (
	"context"
	"encoding/json"
	"net/http"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

const (
	tagAssets = "Assets"
	assets    = "/api/assets"
)

func (h *handlers) assetRoutes() []api.Entry {
	return []api.Entry{
		api.Op(api.Route[newAssetIn, Created[Asset]]{
			ID: "createAsset", Method: http.MethodPost, Path: assets, Family: problem.Platform, Scope: access.AssetsWrite,
			Audit: event.AssetCreated, Status: http.StatusCreated, Tags: []string{tagAssets}, Summary: "Add an asset",
			Description: "Kind and name identify an asset; one that is there already is a conflict.",
			Errors:      []int{http.StatusConflict}, Once: true, Replay: h.assetCreated, Handle: h.createAsset,
		}),
		api.Op(api.Route[assetsIn, Out[Page[Asset]]]{
			ID: "listAssets", Method: http.MethodGet, Path: assets, Family: problem.Platform, Scope: access.AssetsRead,
			Audit: event.AssetListed, Tags: []string{tagAssets}, Summary: "List assets",
			Description: "Newest first. What people entered and what scans saw.", Handle: h.listAssets,
		}),
		api.Op(api.Route[AssetRef, Out[Asset]]{
			ID: "getAsset", Method: http.MethodGet, Path: assets + "/{id}", Family: problem.Platform, Scope: access.AssetsRead,
			Audit: event.AssetRead, Resource: "asset", Tags: []string{tagAssets}, Summary: "Get an asset",
			Description: "An asset of the inventory, whoever entered it.", Handle: h.getAsset,
		}),
		api.Op(api.Route[patchAssetIn, Out[Asset]]{
			ID: "updateAsset", Method: http.MethodPatch, Path: assets + "/{id}", Family: problem.Platform,
			Scope: access.AssetsWrite, Audit: event.AssetUpdated, Resource: "asset", Tags: []string{tagAssets},
			Summary: "Change an asset", Description: "Fields that are left out stay; attributes are replaced as a whole.",
			Handle: h.updateAsset,
		}),
		api.Op(api.Route[AssetRef, struct{}]{
			ID: "deleteAsset", Method: http.MethodDelete, Path: assets + "/{id}", Family: problem.Platform,
			Scope: access.AssetsWrite, Audit: event.AssetDeleted, Resource: "asset", Status: http.StatusNoContent,
			Tags: []string{tagAssets}, Summary: "Delete an asset",
			Description: "A scan that sees it again enters it anew.", Handle: h.deleteAsset,
		}),
	}
}

// NewAsset is an asset as a person enters it.
type NewAsset struct {
	Kind       string          `json:"kind,omitempty" enum:"host,service,url,domain,repository,image,vault,secret,key,certificate,app_registration,cloud_resource" default:"host"`
	Name       string          `json:"name" minLength:"1" maxLength:"255" doc:"What it is: an address, host:port, a URL, a domain. A host without either may have a name of several words." example:"192.0.2.10"`
	Note       string          `json:"note,omitempty" maxLength:"2000" doc:"Free text."`
	Tags       []string        `json:"tags,omitempty" maxItems:"20"`
	Attributes json.RawMessage `json:"attributes,omitempty" doc:"A JSON object of at most 16 KiB."`
}

// AssetPatch changes what is given.
type AssetPatch struct {
	Note       *string         `json:"note,omitempty" maxLength:"2000"`
	Tags       *[]string       `json:"tags,omitempty" maxItems:"20"`
	Attributes json.RawMessage `json:"attributes,omitempty" doc:"Replaces the whole object; null removes it."`
	Status     *string         `json:"status,omitempty" enum:"active,removed"`
}

// Asset is one entry of the inventory.
type Asset struct {
	ID          string          `json:"id"`
	Kind        string          `json:"kind"`
	Name        string          `json:"name"`
	Note        string          `json:"note"`
	Tags        []string        `json:"tags"`
	Attributes  json.RawMessage `json:"attributes,omitempty"`
	Source      string          `json:"source" doc:"user, or the engine that found it."`
	Status      string          `json:"status" enum:"active,removed"`
	CreatedAt   api.Time        `json:"createdAt"`
	UpdatedAt   api.Time        `json:"updatedAt"`
	FirstSeenAt api.Time        `json:"firstSeenAt"`
	LastSeenAt  api.Time        `json:"lastSeenAt"`
}

type newAssetIn struct {
	Body NewAsset
}

// AssetRef names an asset.
type AssetRef struct {
	ID string `path:"id" doc:"The asset's id."`
}

type patchAssetIn struct {
	AssetRef
	Body AssetPatch
}

type assetsIn struct {
	Paging
	Kind   string `query:"kind" maxLength:"32"`
	Tag    string `query:"tag" maxLength:"64"`
	Status string `query:"status" enum:"active,removed" doc:"Default: both."`
	Name   string `query:"name" maxLength:"255" doc:"The name, exactly."`
	Q      string `query:"q" maxLength:"255" doc:"Free text over name and note."`
}

func assetView(a asset.Asset) Asset {
	v := Asset{
		ID: string(a.ID), Kind: string(a.Kind), Name: a.Name, Note: a.Note, Tags: a.Tags,
		Attributes: a.Attributes, Source: a.Source, Status: a.Status, CreatedAt: api.At(a.CreatedAt),
		UpdatedAt: api.At(a.UpdatedAt), FirstSeenAt: api.At(a.FirstSeenAt), LastSeenAt: api.At(a.LastSeenAt),
	}
	if v.Tags == nil {
		v.Tags = []string{}
	}
	return v
}

func (h *handlers) createAsset(ctx context.Context, in *newAssetIn) (*Created[Asset], error) {
	b := in.Body
	a, err := h.d.Assets.Create(ctx, mw.ActorFrom(ctx).Org, asset.Draft{
		Kind: asset.Kind(b.Kind), Name: b.Name, Note: b.Note, Tags: b.Tags, Attributes: b.Attributes,
	})
	if err != nil {
		return nil, err
	}
	return &Created[Asset]{Location: api.Path(assets, string(a.ID)), Body: assetView(a)}, nil
}

func (h *handlers) assetCreated(ctx context.Context, id string) (*Created[Asset], error) {
	a, err := h.d.Assets.Get(ctx, mw.ActorFrom(ctx).Org, uid.Asset(id))
	if err != nil {
		return nil, err
	}
	return &Created[Asset]{Location: api.Path(assets, id), Body: assetView(a)}, nil
}

func (h *handlers) listAssets(ctx context.Context, in *assetsIn) (*Out[Page[Asset]], error) {
	org := mw.ActorFrom(ctx).Org
	filters := page.Filters("assets", in.Kind, in.Tag, in.Status, in.Name, in.Q)
	p, err := in.request(org, filters)
	if err != nil {
		return nil, err
	}
	l, err := h.d.Assets.List(ctx, org, asset.Query{
		Kind: asset.Kind(in.Kind), Tag: in.Tag, Status: in.Status, Name: in.Name, Q: in.Q, Page: p,
	})
	if err != nil {
		return nil, err
	}
	out := Page[Asset]{Data: make([]Asset, len(l.Items)), Meta: in.view(org, filters, l.Total, l.Next)}
	for i, a := range l.Items {
		out.Data[i] = assetView(a)
	}
	return &Out[Page[Asset]]{Body: out}, nil
}

func (h *handlers) getAsset(ctx context.Context, in *AssetRef) (*Out[Asset], error) {
	a, err := h.d.Assets.Get(ctx, mw.ActorFrom(ctx).Org, uid.Asset(in.ID))
	if err != nil {
		return nil, err
	}
	return &Out[Asset]{Body: assetView(a)}, nil
}

func (h *handlers) updateAsset(ctx context.Context, in *patchAssetIn) (*Out[Asset], error) {
	p := asset.Patch{Note: in.Body.Note, Tags: in.Body.Tags, Status: in.Body.Status}
	if in.Body.Attributes != nil {
		p.Attributes = &in.Body.Attributes
	}
	a, err := h.d.Assets.Update(ctx, mw.ActorFrom(ctx).Org, uid.Asset(in.ID), p)
	if err != nil {
		return nil, err
	}
	return &Out[Asset]{Body: assetView(a)}, nil
}

func (h *handlers) deleteAsset(ctx context.Context, in *AssetRef) (*struct{}, error) {
	if err := h.d.Assets.Delete(ctx, mw.ActorFrom(ctx).Org, uid.Asset(in.ID)); err != nil {
		return nil, err
	}
	return &struct{}{}, nil
}

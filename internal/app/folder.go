package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/keys"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/obs"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan/engine/catalog"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Names within the data folder.
const (
	// DatabaseFile is SQLite's; it is absent where the database is PostgreSQL.
	DatabaseFile = "assay.db"
	// TLSFolder holds certificates: those that an authority gave, and those of `assay tls self-signed`.
	TLSFolder = "tls"

	socketFile    = "admin.sock"
	artifactsPath = "artifacts"
	scratchPath   = "scratch"
)

// ground is what the server and the operator's command line both stand on: the open database, the master key, and the
// services that need nothing more. Whoever opens it closes it.
type ground struct {
	cfg     config.Config
	data    string // absolute
	log     *slog.Logger
	now     func() time.Time
	ids     *uid.Source
	store   *store.Store
	sealer  *keys.Sealer
	origin  keys.Origin
	signing *signing
	access  *access.Service
	orgs    *tenant.Operator
	tenants *tenant.Service
	assets  *asset.Service
	tell    func() ServerState // of a server that runs on the folder; nil for an operator's own opening
}

// openGround opens the data folder, making it with mode 0700 where it is missing. stop is called when the database can
// no longer be trusted to keep what it said.
func openGround(ctx context.Context, cfg config.Config, out io.Writer, stop func(error)) (*ground, error) {
	data, err := filepath.Abs(cfg.Data)
	if err != nil {
		return nil, fmt.Errorf("finding the data folder: %w", err)
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("making the data folder: %w", err)
	}
	g := &ground{cfg: cfg, data: data, log: obs.NewLogger(out, cfg.LogLevel, cfg.LogFormat), now: time.Now}
	g.ids = uid.NewSource(g.now, rand.Reader)
	sc := store.Config{DSN: cfg.Database, Now: g.now, Rand: rand.Reader, IDs: g.ids, Logger: g.log, Stop: stop, EventsKept: cfg.EventRetention}
	if cfg.Database == "" {
		sc.Path = filepath.Join(data, DatabaseFile)
	}
	if g.store, err = store.Open(ctx, sc); err != nil {
		return nil, err
	}
	if err := g.unlock(ctx); err != nil {
		return nil, errors.Join(err, g.close(ctx))
	}
	g.services()
	return g, nil
}

// unlock loads the master key and proves that it is the one the data were sealed with.
func (g *ground) unlock(ctx context.Context) error {
	all, err := g.store.Admin().Organizations(ctx)
	if err != nil {
		return err
	}
	g.sealer, g.origin, err = keys.Load(keys.Place{
		File: g.cfg.MasterKeyFile, Credentials: os.Getenv("CREDENTIALS_DIRECTORY"), Data: g.data, Create: len(all) == 0,
	}, rand.Reader)
	if err != nil {
		return err
	}
	g.signing = newSigning(g.store, g.sealer, g.now)
	if len(all) > 0 {
		if _, err := g.signing.signers(ctx, all[0].ID); err != nil {
			return err
		}
	}
	return g.signOwnLog(ctx)
}

// signOwnLog sees to it that the operator's own log can be signed too: it gets its keys at the first start.
func (g *ground) signOwnLog(ctx context.Context) error {
	_, err := g.signing.signers(ctx, uid.System)
	if err == nil || fault.KindOf(err) != fault.NotFound {
		return err
	}
	sealed, err := g.newKeys(ctx, uid.System)
	if err != nil {
		return err
	}
	err = g.store.Admin().CreateSystem(ctx, g.now().UTC().Truncate(time.Microsecond), sealed)
	if err != nil && fault.KindOf(err) != fault.Conflict { // another node was faster
		return err
	}
	_, err = g.signing.signers(ctx, uid.System)
	return err
}

// newKeys makes an organization's signing keys, sealed.
func (g *ground) newKeys(_ context.Context, org uid.Org) ([]byte, error) {
	pair, err := keys.NewPair(g.sealer, org, audit.PurposeLog, g.now())
	if err != nil {
		return nil, err
	}
	return json.Marshal([]keys.Pair{pair})
}

func (g *ground) services() {
	ids := make([]string, 0, 10)
	for _, e := range catalog.All() {
		ids = append(ids, e.Manifest().ID)
	}
	g.access = access.New(access.Deps{
		Store: g.store.Access(), Organizations: g.store.Tenants(), Now: g.now, IDs: g.ids, Rand: rand.Reader, Log: g.log,
		Engines: ids, Ceiling: g.cfg.RateLimitCeiling,
	})
	g.orgs = tenant.NewOperator(tenant.OperatorDeps{
		Admin: g.store.Admin(), Store: g.store.Tenants(), Now: g.now, IDs: g.ids,
		NewKeys: g.newKeys,
		Changed: func(uid.Org) { g.access.Forget() },
	})
	g.assets = asset.New(asset.Deps{Store: g.store.Assets(), Now: g.now, IDs: g.ids})
	g.tenants = tenant.New(tenant.Deps{Store: g.store.Tenants(), Sealer: g.sealer, Rand: rand.Reader, Zone: time.LoadLocation})
}

func (g *ground) close(ctx context.Context) error {
	if err := g.store.Close(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	return nil
}

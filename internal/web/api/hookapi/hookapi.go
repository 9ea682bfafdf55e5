// Package hookapi is the scan API's part about webhooks: receivers, what was sent to them, and the callbacks of scans.
//
// Its handlers are thin, as those of package scanapi: they read, call a service through the interfaces of their files, and
// return a view. Start with Routes.
package hookapi

import (
	"slices"
	"time"

	"assay.dev/assay/internal/web/api"
)

// Base is the prefix of every path of the family.
const Base = "/scan-api/api/v1"

// Deps are the services behind the routes.
type Deps struct {
	Webhooks   Webhooks
	Deliveries Deliveries
	Now        func() time.Time
}

// Routes is the part of the table.
func Routes(d Deps) []api.Entry {
	h := &handlers{d: d}
	return slices.Concat(h.webhookRoutes(), h.deliveryRoutes())
}

type handlers struct{ d Deps }

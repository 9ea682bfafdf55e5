package tenant

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// MaxName bounds an organization's name, in characters (decisions G6).
const MaxName = 255

// OperatorDeps is what an Operator is made of; all are required but Changed.
type OperatorDeps struct {
	Admin Admin
	Store Store
	Now   func() time.Time
	IDs   *uid.Source
	// NewKeys makes an organization's signing and fingerprint keys, sealed.
	NewKeys func(ctx context.Context, org uid.Org) ([]byte, error)
	// Changed is told of organizations whose plan or suspension changed, after the change; what is cached of them in
	// this process must go. nil = nobody is told.
	Changed func(org uid.Org)
}

// Operator is what the operator of a server does with its organizations. It crosses the boundary between them, so
// only app and cli may hold one. It is safe for concurrent use.
type Operator struct{ d OperatorDeps }

// NewOperator returns an Operator.
func NewOperator(d OperatorDeps) *Operator { return &Operator{d: d} }

// NewOrganization is an order for an organization. Init, where set, writes more in the same unit; it may run twice.
type NewOrganization struct {
	Name string
	Plan Plan
	Init func(ctx context.Context, tx Tx) error
}

// Create makes an organization with default settings and its own keys. Faults: Invalid for name or plan.
func (o *Operator) Create(ctx context.Context, in NewOrganization) (Organization, error) {
	if err := checkName(in.Name); err != nil {
		return Organization{}, err
	}
	if err := checkPlan(in.Plan); err != nil {
		return Organization{}, err
	}
	made := Organization{
		ID: uid.Org(o.d.IDs.New()), Name: in.Name, Plan: in.Plan, CreatedAt: o.d.Now().UTC().Truncate(time.Microsecond),
	}
	keys, err := o.d.NewKeys(ctx, made.ID)
	if err != nil {
		return Organization{}, fault.Of(err)
	}
	init := in.Init
	if init == nil {
		init = func(context.Context, Tx) error { return nil }
	}
	if err := o.d.Admin.CreateOrganization(ctx, made, Defaults(), keys, init); err != nil {
		return Organization{}, err
	}
	return made, nil
}

// List returns all organizations of the server but the operator's own.
func (o *Operator) List(ctx context.Context) ([]Organization, error) {
	all, err := o.d.Admin.Organizations(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(x Organization) bool { return x.ID == uid.System }), nil
}

// SetPlan puts an organization on another plan, at once. Faults: Invalid, NotFound.
func (o *Operator) SetPlan(ctx context.Context, org uid.Org, p Plan) error {
	if err := checkPlan(p); err != nil {
		return err
	}
	return o.change(ctx, org, event.OrgPlanChanged, func(ctx context.Context, tx Tx) error { return tx.SetPlan(ctx, p) })
}

// Suspend stops all use of an organization: its keys, sessions and schedules. Its data stays. Suspending it again
// changes nothing.
func (o *Operator) Suspend(ctx context.Context, org uid.Org) error {
	return o.change(ctx, org, event.OrgSuspended, func(ctx context.Context, tx Tx) error { return tx.SetSuspended(ctx, true) })
}

// Resume undoes Suspend.
func (o *Operator) Resume(ctx context.Context, org uid.Org) error {
	return o.change(ctx, org, event.OrgResumed, func(ctx context.Context, tx Tx) error { return tx.SetSuspended(ctx, false) })
}

func (o *Operator) change(ctx context.Context, org uid.Org, what event.Audit, unit func(context.Context, Tx) error) error {
	if org == uid.System || !uid.Valid(string(org)) {
		return fault.Missing("organization")
	}
	if _, err := o.d.Store.Organization(ctx, org); err != nil {
		return err
	}
	if err := o.d.Store.Change(ctx, org, happened(what, org), unit); err != nil {
		return err
	}
	if o.d.Changed != nil {
		o.d.Changed(org)
	}
	return nil
}

func checkName(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return fault.Wrong("name", "is required")
	case name != strings.TrimSpace(name):
		return fault.Wrong("name", "must not begin or end with a space")
	case !utf8.ValidString(name):
		return fault.Wrong("name", "must be valid UTF-8")
	case utf8.RuneCountInString(name) > MaxName:
		return fault.Wrong("name", "must have at most "+strconv.Itoa(MaxName)+" characters")
	case strings.ContainsFunc(name, unicode.IsControl):
		return fault.Wrong("name", "must not hold control characters")
	}
	return nil
}

func checkPlan(p Plan) error {
	if !slices.Contains(Plans(), p) {
		return fault.Wrong("plan", "must be one of free, starter, pro, enterprise")
	}
	return nil
}

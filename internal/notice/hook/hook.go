// Package hook tells other systems what happened: webhooks, the callbacks of scans, and the way of every event to every
// receiver, from the outbox to an answer of 2xx or to the end of patience.
//
// Format and signature are those of the Standard Webhooks specification, so that its public libraries verify them. An
// event's id and bytes are formed once, when it leaves the outbox, and stay the same over all tries and redeliveries.
// Delivery is at least once: rows that say what is owed are committed with the outbox cursor, and a try that left no
// trace is made again.
//
// The package knows the database only by the interfaces below and the network only by an http.RoundTripper that holds
// the address policy. It must never put a secret into a log, an event or an answer other than that of a creation or
// rotation. Start with Webhook, then service.go for what people do, post.go for what the server does, and decide.go
// for the rules.
package hook

import (
	"context"
	"encoding/json"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/secret"
	"assay.dev/assay/internal/word/uid"
)

// Stop is why a webhook gets no deliveries; empty while it does.
type Stop string

// Reasons.
const (
	StoppedByUser Stop = "user"
	StoppedGone   Stop = "gone"    // its receiver answered 410
	StoppedFailed Stop = "failing" // five days of failures without a success
)

// Webhook is a receiver that an organization has registered.
type Webhook struct {
	ID          uid.Webhook
	Org         uid.Org
	Name        string
	Description string
	URL         string
	Events      []string // patterns of package event
	Stop        Stop
	Health
	CreatedBy     string // principal
	CreatedAt     time.Time
	UpdatedAt     time.Time
	Sealed        []byte    // its secret
	Previous      []byte    // the secret before the last rotation; nil = none
	PreviousUntil time.Time // when the previous secret ends
}

// Active reports whether deliveries are made.
func (w Webhook) Active() bool { return w.Stop == "" }

// Wants reports whether the webhook takes events of the type.
func (w Webhook) Wants(t event.Type) bool { return wants(w.Events, t) }

func wants(patterns []string, t event.Type) bool {
	for _, p := range patterns {
		if event.Matches(p, t) {
			return true
		}
	}
	return false
}

// Record is the name under which a webhook's secrets are sealed.
func Record(id uid.Webhook) string { return "webhook/" + string(id) }

// ValidID reports whether s has the form of a webhook's id.
func ValidID(s string) bool {
	return len(s) == len(idPrefix)+36 && s[:len(idPrefix)] == idPrefix && uid.Valid(s[len(idPrefix):])
}

// Prefixes of ids.
const (
	idPrefix    = "wh-"
	eventPrefix = "evt_"
)

// State is where a delivery stands.
type State string

// States.
const (
	Pending   State = "pending"   // will be tried, or tried again
	Delivered State = "delivered" // the receiver answered 2xx
	Failed    State = "failed"    // the schedule is used up; redelivery is by hand
	Held      State = "held"      // the webhook is disabled; waits for a replay
)

// Delivery is one event's way to one receiver: a webhook's, or the callback of a scan.
type Delivery struct {
	ID        uid.Delivery
	Hook      uid.Webhook // empty for a callback
	Scan      uid.Scan    // of a callback
	Event     string      // the webhook-id header
	Type      event.Type
	State     State
	Attempts  int // made so far, over all redeliveries
	CreatedAt time.Time
	NextAt    time.Time // when it is tried next; zero unless pending
	Last      *Attempt

	// Of a delivery read by itself:
	URL   string          // present address of the receiver
	Body  json.RawMessage // the exact bytes sent
	Tries []Attempt       // oldest first
}

// Attempt is one try.
type Attempt struct {
	N      int // 1 and up
	At     time.Time
	Took   time.Duration
	Status int    // of HTTP; 0 = there was no answer
	Error  string // why it failed, in words of our own
	Answer string // the first KiB of the answer's body, control characters masked
}

// OK reports whether the receiver took the event.
func (a Attempt) OK() bool { return a.Status >= 200 && a.Status <= 299 }

// Issued is a webhook with its secret, which is shown this once.
type Issued struct {
	Webhook Webhook
	Secret  secret.Text
}

// List is one page of webhooks, newest first.
type List struct {
	Items []Webhook
	Total page.Total
	Next  page.Key
}

// DeliveryQuery filters a webhook's deliveries; empty fields don't filter.
type DeliveryQuery struct {
	Hook  uid.Webhook
	Scan  uid.Scan // instead of Hook: the callback's
	State State
	Type  event.Type
	Page  page.Request
}

// DeliveryList is one page of deliveries, newest first.
type DeliveryList struct {
	Items []Delivery
	Total page.Total
	Next  page.Key
}

// Store is what webhooks need of a database, scoped to org throughout; what belongs to another organization is a
// NotFound fault.
type Store interface {
	Webhook(ctx context.Context, org uid.Org, id uid.Webhook) (Webhook, error)
	Webhooks(ctx context.Context, org uid.Org, p page.Request) (List, error)
	// Delivery returns one delivery with all that is known of it.
	Delivery(ctx context.Context, org uid.Org, id uid.Delivery) (Delivery, error)
	Deliveries(ctx context.Context, org uid.Org, q DeliveryQuery) (DeliveryList, error)
	// Callback returns the address that a scan's end is told to; NotFound where there is none.
	Callback(ctx context.Context, org uid.Org, scan uid.Scan) (string, error)
	Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, Tx) error) error
}

// Tx are the writes of one unit, scoped to the organization of the change. A unit may run twice, and touches at most
// MaxChunk deliveries.
type Tx interface {
	DeliveryTx

	// CountWebhooks returns how many webhooks the organization has, and lets nobody else add one until the unit ends.
	CountWebhooks(ctx context.Context) (int, error)
	InsertWebhook(ctx context.Context, w Webhook) error
	// WebhookForUpdate reads a webhook as it is inside this unit and holds it until the unit ends.
	WebhookForUpdate(ctx context.Context, id uid.Webhook) (Webhook, error)
	UpdateWebhook(ctx context.Context, w Webhook) error
	DeleteWebhook(ctx context.Context, id uid.Webhook) error

	// Emit writes an outbox event in the unit.
	Emit(ctx context.Context, t event.Type, subject string, data any) error
}

// DeliveryTx are the writes that people cause on deliveries.
type DeliveryTx interface {
	// DropDeliveries removes deliveries of a webhook that is gone, at most MaxChunk, and returns how many.
	DropDeliveries(ctx context.Context, id uid.Webhook) (int, error)
	// HoldDeliveries makes pending deliveries held, at most MaxChunk, and returns how many.
	HoldDeliveries(ctx context.Context, id uid.Webhook) (int, error)
	// ReviveDeliveries makes deliveries pending, due at once and in their old order, and returns how many.
	ReviveDeliveries(ctx context.Context, r Revival) (int, error)
	// Redeliver makes one delivery pending and due at once, whatever its state; NotFound where there is none.
	Redeliver(ctx context.Context, id uid.Delivery, at time.Time) error
	// InsertTrial writes what a test has sent and what came of it.
	InsertTrial(ctx context.Context, m Message, a Attempt) error
}

// MaxDrops is how many deliveries one fan-out makes at most, but for those of its first event.
const MaxDrops = 1000

// MaxChunk is how many deliveries one unit touches.
const MaxChunk = 500

// Revival says which of a webhook's deliveries to make again.
type Revival struct {
	Hook  uid.Webhook
	State State     // Held or Failed
	From  time.Time // created at or after; zero = any
	To    time.Time // created before; zero = any
	At    time.Time // now
	Limit int       // at most MaxChunk
}

// Post is the server's view of all organizations' events and deliveries.
type Post interface {
	// FanOut reads events behind the cursor and behind after, lets route say who is owed them, and commits what is owed
	// with the new cursor; nothing is written where nobody is owed anything, unless f.Write says so. No two write at
	// once, also on several nodes. route may be called several times.
	FanOut(ctx context.Context, f Fan, route func([]Posted, map[uid.Org][]Webhook) ([]Message, error)) (Fanned, error)
	// Lanes returns every lane that has pending deliveries.
	Lanes(ctx context.Context) ([]Lane, error)
	// Claim takes due deliveries of a lane, oldest due first, at most limit, and keeps others from them until lease.
	Claim(ctx context.Context, l Lane, now, lease time.Time, limit int) ([]Letter, error)
	// Clear holds (or, where the webhook is gone, removes) pending deliveries of a lane that isn't open, at most
	// MaxChunk.
	Clear(ctx context.Context, l Lane) error
	// Settle writes outcomes and the webhooks' health in one unit. judge decides on each, in order of hook and time; it
	// may be called twice.
	Settle(ctx context.Context, done []Outcome, judge func(Health, Outcome) (Verdict, Health)) error
	// Release gives claimed letters back, due at once.
	Release(ctx context.Context, letters []Letter, now time.Time) error
	// ReleaseAll gives all claimed letters back: for a process that is the only one, when it starts.
	ReleaseAll(ctx context.Context, now time.Time) error
}

// Fan says what to fan out.
type Fan struct {
	After int64 // events up to this place were looked at before and are owed to nobody
	Limit int
	Write bool // move the cursor in any case
}

// Fanned is what a fan-out has read.
type Fanned struct {
	Last       int64 // place up to which events have been looked at
	Read       int   // of them in this call
	More       bool  // there may be further ones
	Deliveries int
}

// Posted is an outbox event and what the store knows of its subject.
type Posted struct {
	event.Event

	Callback string // address that wants to hear of this event, empty = none
}

// Message is an event on its way: its fixed id and bytes, and who is owed it.
type Message struct {
	Org   uid.Org
	ID    string // the webhook-id header
	Type  event.Type
	At    time.Time
	Seq   int64 // of the event in the outbox
	Body  []byte
	Drops []Drop
}

// Drop is one receiver of a message.
type Drop struct {
	ID    uid.Delivery
	Hook  uid.Webhook // empty for a callback
	Scan  uid.Scan    // of a callback
	Lane  string
	State State // Pending or Held
	Due   time.Time
}

// Lane is the line in front of one receiver. Lanes don't wait for each other.
type Lane struct {
	Name string
	Org  uid.Org
	Due  time.Time // of its first delivery
	Kind LaneKind
}

// LaneKind says what may be done with a lane's deliveries.
type LaneKind uint8

// Kinds of lanes.
const (
	LaneOpen   LaneKind = iota
	LaneClosed          // the webhook is disabled
	LaneGone            // the webhook was deleted
)

// Letter is a claimed delivery with all that sending it takes.
type Letter struct {
	Org      uid.Org
	ID       uid.Delivery
	Lane     string
	Hook     uid.Webhook
	Event    string
	Type     event.Type
	Body     []byte
	URL      string
	Record   string // name under which the secrets are sealed
	Secrets  [][]byte
	Attempts int // made before
	Tries    int // made before, since it was created or redelivered
	Lease    time.Time
}

// Outcome is a letter and what came of this try.
type Outcome struct {
	Letter

	Attempt
	RetryAfter time.Duration // as the receiver asked; 0 = it didn't
	Chance     float64       // 0 to 1, for the jitter of the next try
}

// Verdict is what becomes of a delivery after a try.
type Verdict struct {
	State State
	Due   time.Time // of the next try, where State is Pending
}

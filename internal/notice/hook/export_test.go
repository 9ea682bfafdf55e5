package hook

import (
	"net/http"
	"time"

	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

// What tests look into.

// Headers are those of a signed message.
func Headers(keys [][]byte, id string, at time.Time, body []byte) http.Header {
	return headers(keys, id, at, body)
}

// BodyOf forms a message's bytes.
func BodyOf(base string, e event.Event) ([]byte, error) { return bodyOf(base, e) }

// Masked makes text of what a stranger sent.
func Masked(b []byte) string { return masked(b) }

// RetryAfter reads the header.
func RetryAfter(header string, now time.Time) time.Duration { return retryAfter(header, now) }

// CallbackLane is the line of a callback's receiver.
func CallbackLane(org uid.Org, address string) string { return callbackLane(org, address) }

// Route says who is owed which event.
func Route(base string, ids *uid.Source, now func() time.Time, events []Posted, hooks map[uid.Org][]Webhook) ([]Message, error) {
	return (&router{base: base, ids: ids, now: now}).route(events, hooks)
}

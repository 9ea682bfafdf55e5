package hook

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

// payload is the body of every message, in the order of its fields.
type payload struct {
	Type      event.Type      `json:"type"`
	Timestamp string          `json:"timestamp"`
	Data      json.RawMessage `json:"data"`
}

// Links are where a receiver finds what an event only names.
type Links struct {
	Scan     string `json:"scan,omitempty"`
	Results  string `json:"results,omitempty"`
	Webhook  string `json:"webhook,omitempty"`
	Delivery string `json:"deliveries,omitempty"`
}

// apiBase is where the scan API lives below the server's address.
const apiBase = "/scan-api/api/v1"

// linksOf are those of an event; base is the server's public address.
func linksOf(base string, e event.Event) Links {
	base = strings.TrimSuffix(base, "/") + apiBase
	noun, _, _ := strings.Cut(string(e.Type), ".")
	switch noun {
	case "scan", "finding":
		at := base + "/scans/" + url.PathEscape(e.Subject)
		l := Links{Scan: at}
		if e.Type == event.ScanCompleted || e.Type == event.ScanFailed || e.Type == event.ScanCancelled || noun == "finding" {
			l.Results = at + "/results"
		}
		return l
	case "webhook":
		at := base + "/webhooks/" + url.PathEscape(e.Subject)
		return Links{Webhook: at, Delivery: at + "/deliveries"}
	}
	return Links{}
}

// bodyOf forms the exact bytes of an event's message: its data as they stand in the outbox, and links.
func bodyOf(base string, e event.Event) ([]byte, error) {
	links, err := encode(linksOf(base, e))
	if err != nil {
		return nil, err
	}
	data := bytes.TrimSpace(e.Data)
	if len(data) < 2 || data[0] != '{' || data[len(data)-1] != '}' {
		data = []byte("{}")
	}
	inner := bytes.TrimSpace(data[1 : len(data)-1])
	var whole bytes.Buffer
	whole.WriteByte('{')
	if len(inner) > 0 {
		whole.Write(inner)
		whole.WriteByte(',')
	}
	whole.WriteString(`"links":`)
	whole.Write(links)
	whole.WriteByte('}')
	return encode(payload{Type: e.Type, Timestamp: e.At.UTC().Format(time.RFC3339Nano), Data: whole.Bytes()})
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// callbackLane is the line in front of a callback's receiver: one for each server that an organization names, so that
// a slow one delays no other's callbacks.
func callbackLane(org uid.Org, address string) string {
	origin := address
	if u, err := url.Parse(address); err == nil {
		origin = u.Scheme + "://" + strings.ToLower(u.Host)
	}
	sum := sha256.Sum256([]byte(string(org) + "\x00" + origin))
	return "cb-" + hex.EncodeToString(sum[:16])
}

// router says who is owed which event.
type router struct {
	base string
	ids  *uid.Source
	now  func() time.Time
}

// route forms the message of every event that somebody wants.
func (r router) route(events []Posted, hooks map[uid.Org][]Webhook) ([]Message, error) {
	now := instant(r.now)
	var out []Message
	for _, e := range events {
		var drops []Drop
		for _, w := range hooks[e.Org] {
			if !w.Wants(e.Type) || e.At.Before(w.CreatedAt) {
				continue
			}
			d := Drop{ID: uid.Delivery(r.ids.New()), Hook: w.ID, Lane: string(w.ID), State: Pending, Due: now}
			if !w.Active() {
				d.State = Held
			}
			drops = append(drops, d)
		}
		if e.Callback != "" {
			drops = append(drops, Drop{
				ID: uid.Delivery(r.ids.New()), Scan: uid.Scan(e.Subject), Lane: callbackLane(e.Org, e.Callback), State: Pending, Due: now,
			})
		}
		if len(drops) == 0 {
			continue
		}
		body, err := bodyOf(r.base, e.Event)
		if err != nil {
			return nil, err
		}
		out = append(out, Message{Org: e.Org, ID: eventPrefix + r.ids.New(), Type: e.Type, At: now, Seq: e.Seq, Body: body, Drops: drops})
	}
	return out, nil
}

// instant is a time as the database keeps it.
func instant(now func() time.Time) time.Time { return now().UTC().Truncate(time.Microsecond) }

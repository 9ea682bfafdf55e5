// Package event is the vocabulary of what happened: the types of outbox events, which webhooks, live streams and
// Kafka carry, and the types of audit entries.
//
// It holds words only. Who writes an event is the store (in the transaction of the change), who reads it is whoever
// subscribes; neither is known here.
package event

import (
	"encoding/json"
	"time"

	"assay.dev/assay/internal/word/uid"
)

// Type names an outbox event, dotted noun.verb. Types are a contract with webhook receivers.
type Type string

// Outbox event types.
const (
	ScanQueued      Type = "scan.queued"
	ScanStarted     Type = "scan.started"
	ScanProgress    Type = "scan.progress"
	ScanCompleted   Type = "scan.completed"
	ScanFailed      Type = "scan.failed"
	ScanCancelled   Type = "scan.cancelled"
	FindingOpened   Type = "finding.opened"
	FindingReopened Type = "finding.reopened"
	FindingFixed    Type = "finding.fixed"
	ReportReady     Type = "report.ready"
	ReportFailed    Type = "report.failed"
	FindingTriaged  Type = "finding.triaged"  // a person decided
	ScheduleStopped Type = "schedule.stopped" // a schedule was disabled because its owner may no longer do what it does
	WebhookDisabled Type = "webhook.disabled" // a receiver failed for too long, or said that it is gone
)

// Event is one row of the outbox. Subject is the id of the record it is about (a scan's for scan.* and finding.*
// events, so that a scan's stream is one index range); Data is a small JSON object of ids and counts, never a secret
// and never evidence.
type Event struct {
	Seq     int64 // position in the outbox, given by the store, rising per organization
	Org     uid.Org
	Type    Type
	Subject string
	At      time.Time
	Data    json.RawMessage
}

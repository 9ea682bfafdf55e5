package event

import (
	"slices"
	"strings"
)

// WebhookTest is the type of the event that a test of a webhook sends. Nobody can subscribe to it.
const WebhookTest Type = "webhook.test"

// Types are the outbox event types that receivers can subscribe to, in the order of the reference.
func Types() []Type {
	return []Type{
		ScanQueued, ScanStarted, ScanProgress, ScanCompleted, ScanFailed, ScanCancelled,
		FindingOpened, FindingReopened, FindingFixed, FindingTriaged,
		ReportReady, ReportFailed,
		ScheduleStopped, WebhookDisabled,
	}
}

// All is the pattern that matches every type.
const All = "*"

// KnownPattern reports whether a subscription can name p: a type, all types of one noun ("scan.*"), or all.
func KnownPattern(p string) bool {
	if p == All {
		return true
	}
	return slices.ContainsFunc(Types(), func(t Type) bool { return Matches(p, t) })
}

// Matches reports whether the pattern of a subscription takes the type.
func Matches(pattern string, t Type) bool {
	if pattern == All || pattern == string(t) {
		return true
	}
	noun, ok := strings.CutSuffix(pattern, ".*")
	before, _, _ := strings.Cut(string(t), ".")
	return ok && noun != "" && noun == before
}

package event

// Audit names the type of an audit entry, dotted. A route's action is its entry's type unless the service says
// something more exact (a failed login).
type Audit string

// Audit entry types. Those of vaults.md 3.7 keep their documented names.
const (
	AuthLoginSuccess    Audit = "auth.login.success"
	AuthLoginFailed     Audit = "auth.login.failed"
	AuthLogout          Audit = "auth.logout"
	AuthAccountLocked   Audit = "auth.account.locked"
	AuthMeRead          Audit = "auth.me.read"
	AuthPasswordChanged Audit = "auth.password.changed"
	AuthRefused         Audit = "auth.refused"
	RateRefused         Audit = "rate.refused"
	RootVisited         Audit = "root.visited"
	RouteUnknown        Audit = "route.unknown" // a call with a valid credential to a path or method that isn't there

	UserCreated Audit = "user.created"

	OrgCreated         Audit = "org.created"
	OrgRead            Audit = "org.read"
	OrgPlanChanged     Audit = "org.plan.changed"
	OrgSuspended       Audit = "org.suspended"
	OrgResumed         Audit = "org.resumed"
	SettingsUpdated    Audit = "settings.updated"
	ScopeRead          Audit = "scan_scope.read"
	ScopeUpdated       Audit = "scan_scope.updated"
	CallbackKeyRotated Audit = "callback_secret.rotated"
	LicenseRead        Audit = "license.read"

	KeyCreated   Audit = "api_key.created"
	KeyListed    Audit = "api_key.listed"
	KeyRead      Audit = "api_key.read"
	KeyUpdated   Audit = "api_key.updated"
	KeyRotated   Audit = "api_key.rotated"
	KeyRevoked   Audit = "api_key.revoked"
	KeySuspended Audit = "api_key.suspended"
	KeyResumed   Audit = "api_key.resumed"

	AssetCreated Audit = "asset.created"
	AssetListed  Audit = "asset.listed"
	AssetRead    Audit = "asset.read"
	AssetUpdated Audit = "asset.updated"
	AssetDeleted Audit = "asset.deleted"

	EngineListed      Audit = "engine.listed"
	ScanSubmitted     Audit = "scan.submitted"
	ScanListed        Audit = "scan.listed"
	ScanRead          Audit = "scan.read"
	ScanResultsRead   Audit = "scan.results.read"
	ScanCancelAsked   Audit = "scan.cancelled"
	ScanStreamOpened  Audit = "scan.stream.opened"
	ScanStreamClosed  Audit = "scan.stream.closed"
	ScanStartedBy     Audit = "scan.started"
	ScanFinished      Audit = "scan.finished"
	ScanRequeued      Audit = "scan.requeued"
	ScanPhaseBegun    Audit = "scan.phase.begun" // the server put scans of an order's next phase into the line; the reason counts them
	FindingsIngested  Audit = "findings.ingested"
	LogCheckpointRead Audit = "log.checkpoint.read"
	LogEntriesRead    Audit = "log.entries.read"
	LogProofRead      Audit = "log.proof.read"
	LogExported       Audit = "log.exported"
	LogRetained       Audit = "log.retained" // the server dropped a range of entries past their retention; the resource names it
	LogErased         Audit = "log.erased"   // the operator erased personal data beside entries; the reason counts them
	VerifyKeysRead    Audit = "verification_keys.read"
	VerifyKeysExport  Audit = "verification_keys.exported"
)

// Webhooks, their deliveries and the callbacks of scans.
const (
	WebhookCreated        Audit = "webhook.created"
	WebhookListed         Audit = "webhook.listed"
	WebhookRead           Audit = "webhook.read"
	WebhookUpdated        Audit = "webhook.updated"
	WebhookDeleted        Audit = "webhook.deleted"
	WebhookTested         Audit = "webhook.tested"
	WebhookSecretRotated  Audit = "webhook.secret.rotated"
	WebhookReplayed       Audit = "webhook.replayed"
	WebhookStopped        Audit = "webhook.disabled" // by the server, because its receiver failed for too long or is gone
	WebhookDeliveryListed Audit = "webhook.delivery.listed"
	WebhookDeliveryRead   Audit = "webhook.delivery.read"
	WebhookRedelivered    Audit = "webhook.redelivered"
	ScanCallbackRead      Audit = "scan.callback.read"
)

// Findings and what people decide on them.
const (
	FindingListed      Audit = "finding.listed"
	FindingRead        Audit = "finding.read"
	FindingHistoryRead Audit = "finding.history.read"
	FindingSummaryRead Audit = "finding.summary.read"
	FindingDecided     Audit = "finding.triaged"
	FindingsDecided    Audit = "findings.triaged" // many in one call
	CaseListed         Audit = "case.listed"
	CaseRead           Audit = "case.read"
	CaseSplit          Audit = "case.split"      // a person took a finding out of a case
	CaseJoined         Audit = "case.joined"     // a person put findings into a case
	FindingExpired     Audit = "finding.expired" // the server opened findings whose acceptance had ended
)

// What an organization used.
const (
	UsageSummed    Audit = "usage.summary.read"
	UsageHistory   Audit = "usage.history.read"
	UsageByEngine  Audit = "usage.by_scan_type.read"
	QuotaRead      Audit = "usage.quota.read"
	UsageCallsRead Audit = "usage.calls.read"
)

// Batches, edits, comparison and retention of scans.
const (
	ScanBatchSubmitted Audit = "scan.batch.submitted" // many scans in one call; the resource is the batch
	ScanUpdated        Audit = "scan.updated"
	ScanCompared       Audit = "scan.compared"
	ScanRetained       Audit = "scan.retained" // the server dropped scans past their retention; the reason counts them
)

// Programs of scan engines on the server's machine.
const (
	EngineInstalled Audit = "engine.installed" // the operator got one by a recipe; the reason says which
	EngineRemoved   Audit = "engine.removed"
)

// What public sources say of vulnerabilities, and what people say in return.
const (
	IntelImported Audit = "intel.imported" // the operator loaded EPSS, KEV or NVD; the resource names which
	IntelRead     Audit = "intel.read"
	VEXExported   Audit = "vex.exported"
	VEXImported   Audit = "vex.imported"
)

// Recurring reports.
const (
	ReportCreated      Audit = "report.created"
	ReportListed       Audit = "report.listed"
	ReportRead         Audit = "report.read"
	ReportUpdated      Audit = "report.updated"
	ReportDeleted      Audit = "report.deleted"
	ReportRunAsked     Audit = "report.run.asked"
	ReportRunRead      Audit = "report.run.read"
	ReportRunsListed   Audit = "report.runs.listed"
	ReportDocumentRead Audit = "report.document.read"
	ReportDue          Audit = "report.due"      // the server made a run of a due time
	ReportMade         Audit = "report.made"     // the server made a run's document
	ReportNotMade      Audit = "report.not_made" // it couldn't
	ReportStopped      Audit = "report.stopped"  // the server disabled a report whose owner lost the right
)

// Templates of scans and their schedules.
const (
	TemplateCreated  Audit = "template.created"
	TemplateListed   Audit = "template.listed"
	TemplateRead     Audit = "template.read"
	TemplateUpdated  Audit = "template.updated"
	TemplateDeleted  Audit = "template.deleted"
	TemplateLaunched Audit = "template.launched" // a scan was submitted from a template; the resource is the scan
	TemplateRunsRead Audit = "template.runs.read"
	ScheduleRan      Audit = "schedule.ran"     // a due time came: the server started its run in the name of the schedule's owner; the resource is the run
	ScheduleDisabled Audit = "schedule.stopped" // by the server, because its owner may no longer do what it does
)

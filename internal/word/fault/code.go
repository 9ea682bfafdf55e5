package fault

// Code is the stable, machine-readable name of a failure, in SCREAMING_SNAKE. Codes are a contract with clients: one
// is never renamed or reused. docs/reference/errors.md is generated from Codes.
type Code string

// Codes that all families share.
const (
	CodeInternal        Code = "INTERNAL_ERROR"
	CodeValidation      Code = "VALIDATION_ERROR"
	CodeNotFound        Code = "NOT_FOUND"
	CodeMethod          Code = "METHOD_NOT_ALLOWED"
	CodeConflict        Code = "CONFLICT"
	CodeTooLarge        Code = "PAYLOAD_TOO_LARGE"
	CodeMediaType       Code = "UNSUPPORTED_MEDIA_TYPE"
	CodeRateLimit       Code = "RATE_LIMIT_EXCEEDED"
	CodeQuota           Code = "QUOTA_EXCEEDED"
	CodeUnavailable     Code = "SERVICE_UNAVAILABLE"
	CodePlan            Code = "PLAN_REQUIRED"
	CodeForbidden       Code = "FORBIDDEN"
	CodeUnsupported     Code = "UNSUPPORTED"
	CodeCanceled        Code = "REQUEST_CANCELLED"
	CodeIdempotencyUsed Code = "IDEMPOTENCY_KEY_REUSED"
	CodeIdempotencyBusy Code = "IDEMPOTENCY_IN_PROGRESS"
)

// Codes of authentication and authorization, in the order in which they are checked.
const (
	CodeAmbiguousCredentials Code = "AMBIGUOUS_CREDENTIALS"
	CodeMissingKey           Code = "MISSING_API_KEY"
	CodeInvalidKey           Code = "INVALID_API_KEY"
	CodeKeyRevoked           Code = "KEY_REVOKED"
	CodeKeySuspended         Code = "KEY_SUSPENDED"
	CodeKeyExpired           Code = "KEY_EXPIRED"
	CodeOrgSuspended         Code = "ORGANIZATION_SUSPENDED"
	CodeIPNotAllowed         Code = "IP_NOT_ALLOWED"
	CodeScope                Code = "INSUFFICIENT_SCOPE"
	CodeScanType             Code = "SCAN_TYPE_NOT_ALLOWED"
	CodeUnauthenticated      Code = "UNAUTHENTICATED"
	CodeCredentials          Code = "INVALID_CREDENTIALS" //nolint:gosec // the name of an error, no credential
	CodeLocked               Code = "ACCOUNT_LOCKED"
	CodePasswordChange       Code = "PASSWORD_CHANGE_REQUIRED"
	CodeCrossOrigin          Code = "CROSS_ORIGIN_REFUSED"
)

// Codes of scans and the audit log.
const (
	CodeTargetType       Code = "TARGET_TYPE_NOT_SUPPORTED"
	CodeTargetForbidden  Code = "TARGET_NOT_ALLOWED"
	CodeEngine           Code = "ENGINE_NOT_AVAILABLE"
	CodeNotCancellable   Code = "SCAN_NOT_CANCELLABLE"
	CodeResultsNotReady  Code = "RESULTS_NOT_READY"
	CodeScanTimeout      Code = "SCAN_TIMEOUT"
	CodeScanFailed       Code = "SCAN_FAILED"
	CodeScanInterrupted  Code = "SCAN_INTERRUPTED"
	CodeEntryUnproven    Code = "ENTRY_NOT_INTEGRATED"
	CodeUntrustedKey     Code = "UNTRUSTED_KEY"
	CodeLogCorrupt       Code = "LOG_CORRUPT"
	CodeTooManyStreams   Code = "TOO_MANY_STREAMS"
	CodeFormat           Code = "FORMAT_NOT_SUPPORTED"
	CodeRawNotAvailable  Code = "RAW_NOT_AVAILABLE"
	CodeAuditUnavailable Code = "AUDIT_UNAVAILABLE"
)

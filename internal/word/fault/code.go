package fault

// Code is the stable, machine-readable name of a failure, in SCREAMING_SNAKE. Codes are a contract with clients: one
// is never renamed or reused. docs/reference/errors.md is generated from Codes.
type Code string

// Codes that all families share.
const (
	CodeInternal        Code = "INTERNAL_ERROR"          // 500: a defect of ours; the server's log has the cause under the request id
	CodeValidation      Code = "VALIDATION_ERROR"        // 400 malformed, 422 well-formed but wrong (the scan API says 400 for both); the fields at fault are named
	CodeNotFound        Code = "NOT_FOUND"               // 404: it isn't there, or belongs to another organization
	CodeMethod          Code = "METHOD_NOT_ALLOWED"      // 405: the path exists, the method doesn't; Allow names those that do
	CodeConflict        Code = "CONFLICT"                // 409: the present state doesn't allow it
	CodeTooLarge        Code = "PAYLOAD_TOO_LARGE"       // 413: the body is over its bound
	CodeMediaType       Code = "UNSUPPORTED_MEDIA_TYPE"  // 415: bodies are JSON in UTF-8
	CodeRateLimit       Code = "RATE_LIMIT_EXCEEDED"     // 429: a window is used up; Retry-After says when the next begins
	CodeQuota           Code = "QUOTA_EXCEEDED"          // 429: the plan's quota is used up; the text names it
	CodeUnavailable     Code = "SERVICE_UNAVAILABLE"     // 503: a part we need doesn't answer now; try again
	CodePlan            Code = "PLAN_REQUIRED"           // 403: the organization's plan doesn't hold this
	CodeForbidden       Code = "FORBIDDEN"               // 403: you may not
	CodeUnsupported     Code = "UNSUPPORTED"             // we never do this
	CodeCanceled        Code = "REQUEST_CANCELLED"       // the call was cancelled before it had an effect
	CodeIdempotencyUsed Code = "IDEMPOTENCY_KEY_REUSED"  // 409: the Idempotency-Key was used with another body
	CodeIdempotencyBusy Code = "IDEMPOTENCY_IN_PROGRESS" // 409: a call with this Idempotency-Key is under way; ask again
)

// Codes of authentication and authorization, in the order in which they are checked.
const (
	CodeAmbiguousCredentials Code = "AMBIGUOUS_CREDENTIALS"  // 400: X-API-Key and Authorization hold different credentials
	CodeMissingKey           Code = "MISSING_API_KEY"        // 401: no credential was sent
	CodeInvalidKey           Code = "INVALID_API_KEY"        // 401: wrong format, or no such key
	CodeKeyRevoked           Code = "KEY_REVOKED"            // 401: the key was revoked
	CodeKeySuspended         Code = "KEY_SUSPENDED"          // 401: an admin suspended the key
	CodeKeyExpired           Code = "KEY_EXPIRED"            // 401: the key's time is over
	CodeOrgSuspended         Code = "ORGANIZATION_SUSPENDED" // 403: the operator suspended the organization
	CodeIPNotAllowed         Code = "IP_NOT_ALLOWED"         // 403: the key may not be used from this address
	CodeScope                Code = "INSUFFICIENT_SCOPE"     // 403: the credential lacks the scope that the text names
	CodeScanType             Code = "SCAN_TYPE_NOT_ALLOWED"  // 403: the key may not use this engine
	CodeUnauthenticated      Code = "UNAUTHENTICATED"        // 401: the session is unknown or over; sign in
	// 401: user name or password is wrong
	CodeCredentials    Code = "INVALID_CREDENTIALS"      //nolint:gosec // the name of an error, no credential
	CodeLocked         Code = "ACCOUNT_LOCKED"           // 401: too many failed logins; Retry-After says for how long
	CodePasswordChange Code = "PASSWORD_CHANGE_REQUIRED" // 403: choose a new password first (POST /auth/password)
	CodeCrossOrigin    Code = "CROSS_ORIGIN_REFUSED"     // 403: a browser's write came from another origin
)

// Codes of scans and the audit log.
const (
	CodeTargetType       Code = "TARGET_TYPE_NOT_SUPPORTED" // 400: this engine doesn't take this kind of target
	CodeTargetForbidden  Code = "TARGET_NOT_ALLOWED"        // 403: the target lies outside the organization's scan scope, or is never scanned
	CodeEngine           Code = "ENGINE_NOT_AVAILABLE"      // 503: the engine's program is missing on the server; `assay doctor` says how to get it
	CodeNotCancellable   Code = "SCAN_NOT_CANCELLABLE"      // 409: the scan has ended already
	CodeResultsNotReady  Code = "RESULTS_NOT_READY"         // 409: the scan hasn't ended yet
	CodeScanTimeout      Code = "SCAN_TIMEOUT"              // of a scan: it ran into its timeout; what was found until then is kept
	CodeScanFailed       Code = "SCAN_FAILED"               // of a scan: the engine could not do its work
	CodeScanInterrupted  Code = "SCAN_INTERRUPTED"          // of a scan: it was interrupted three times and is not tried again
	CodeEntryUnproven    Code = "ENTRY_NOT_INTEGRATED"      // 409: the audit entry has no place in the log yet; ask again in a second
	CodeUntrustedKey     Code = "UNTRUSTED_KEY"             // no key that you trust signed it
	CodeLogCorrupt       Code = "LOG_CORRUPT"               // the log, export or checkpoint is not what was written
	CodeTooManyStreams   Code = "TOO_MANY_STREAMS"          // 429: the key has ten event streams open already
	CodeFormat           Code = "FORMAT_NOT_SUPPORTED"      // 400: results don't come in this format
	CodeRawNotAvailable  Code = "RAW_NOT_AVAILABLE"         // 404: the scan kept no raw output
	CodeWrongKey         Code = "WRONG_MASTER_KEY"          // the server's master key is not the one that sealed the data
	CodeAuditUnavailable Code = "AUDIT_UNAVAILABLE"         // 503: the audit entry can't be written, so nothing was done
)

// CodeCallbackSecret is of a scan with a callback in an organization that has nothing to sign it with.
const (
	CodeCallbackSecret Code = "CALLBACK_SECRET_MISSING" // 409: callbacks are signed; POST /api/org/callback-secret/rotate makes the secret
)

package access

import "assay.dev/assay/internal/word/fault"

// The refusals of authentication, in the order in which they are checked (decisions G3). Their texts are documented
// (scans.md 1.5) and the same for every caller, so that they tell nothing apart that the code doesn't.

func errAmbiguous() *fault.Error {
	return fault.New(fault.Invalid, fault.CodeAmbiguousCredentials, "X-API-Key and Authorization carry different credentials; send one of them")
}

func errMissing() *fault.Error {
	return fault.New(fault.Unauthenticated, fault.CodeMissingKey, "API key is required")
}

func errInvalidKey() *fault.Error {
	return fault.New(fault.Unauthenticated, fault.CodeInvalidKey, "Invalid API key")
}

func errRevoked() *fault.Error {
	return fault.New(fault.Unauthenticated, fault.CodeKeyRevoked, "API key has been revoked")
}

func errSuspended() *fault.Error {
	return fault.New(fault.Unauthenticated, fault.CodeKeySuspended, "API key has been suspended")
}

func errExpired() *fault.Error {
	return fault.New(fault.Unauthenticated, fault.CodeKeyExpired, "API key has expired")
}

func errOrgSuspended() *fault.Error {
	return fault.New(fault.Forbidden, fault.CodeOrgSuspended, "the organization is suspended; its operator can resume it")
}

func errAddress() *fault.Error {
	return fault.New(fault.Forbidden, fault.CodeIPNotAllowed, "this API key may not be used from this address")
}

func errSessionEnded() *fault.Error {
	return fault.New(fault.Unauthenticated, fault.CodeUnauthenticated, "the session has ended; sign in again")
}

// errCredentials never says which of the two was wrong, or that an account exists.
func errCredentials() *fault.Error {
	return fault.New(fault.Unauthenticated, fault.CodeCredentials, "user name or password is wrong")
}

func errLocked() *fault.Error {
	return fault.New(fault.Unauthenticated, fault.CodeLocked, "too many failed logins; the account is locked for up to 15 minutes")
}

func errPasswordChange() *fault.Error {
	return fault.New(fault.Forbidden, fault.CodePasswordChange, "change the password first: POST /auth/password")
}

func errBusy() *fault.Error {
	return fault.New(fault.Unavailable, fault.CodeUnavailable, "too many logins at once; try again in a moment")
}

func errOnlyUsers() *fault.Error {
	return fault.New(fault.Forbidden, fault.CodeForbidden, "only a signed-in user can do this; an API key can't")
}

func errOnlyAdmins() *fault.Error {
	return fault.New(fault.Forbidden, fault.CodeForbidden, "only an administrator can suspend or resume an API key")
}

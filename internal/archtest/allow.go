package archtest

// exceptions lists imports that the ranks forbid and a reason allows. Each line is a debt with its reason.
func exceptions() map[string]string {
	return map[string]string{}
}

// Oversized lists what may pass the stops of size_test.go, with the reason. Keys are "file:path", "func:path.Name",
// "package:path", "parameters:path.Name" or "interface:path.Name".
func Oversized() map[string]string {
	return map[string]string{}
}

// Bookkeeping lists what may be written without an audit entry: state of the machinery, never an act of somebody.
func Bookkeeping() map[string]string {
	return map[string]string{}
}

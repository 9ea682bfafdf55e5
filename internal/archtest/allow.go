package archtest

// exceptions lists imports that the ranks forbid and a reason allows. Each line is a debt with its reason.
func exceptions() map[string]string {
	return map[string]string{}
}

// Oversized lists what may pass the stops of size_test.go, with the reason. Keys are "file:path", "func:path.Name",
// "package:path", "parameters:path.Name" or "interface:path.Name".
func Oversized() map[string]string {
	return map[string]string{
		"package:internal/infra/store":           "all nouns share one unit of work; ADR 0016 says how it is cut when the next wing moves in",
		"package:internal/infra/store/storetest": "one kit for all nouns; it is cut with the store (ADR 0016)",
		"package:internal/cli":                   "one file a command, all thin; ADR 0016 says where the remote commands go",
	}
}

// Bookkeeping lists what may be written without an audit entry: state of the machinery, never an act of somebody.
func Bookkeeping() map[string]string {
	return map[string]string{
		"last use of API keys and sessions":                "each use left its own entry; this is a digest of them",
		"a scan is let start; its start is audited":        "the dispatcher gives a lease; the executor's start is the act",
		"lease and progress of a running scan":             "its start and its end are audited; between them it only goes on",
		"when a scan of several engines is looked at next": "a timer; what is done at that time is audited",
		"raw output of a running scan":                     "kept by digest for a run whose start and end are audited",
		"rows of scans that retention has dropped":         "the drop itself is audited, with the number of scans",
		"expired rows":                                                  "retention that the settings announce",
		"nodes below dropped ranges of the log":                         "the drop itself is audited; the range's root stands for them",
		"rows of a public source beside those that are read":            "the switch that makes them count is audited",
		"counters of calls that were logged before there were counters": "a digest of entries that are in the log",
		"a report run is taken; its end is audited":                     "the making is given to one node; what comes of it is the act",
		"findings that are one case":                                    "cases follow from findings, whose own changes are audited; what people split and join is",
		"how far cases are in step with findings":                       "a place in the outbox, and names that a scan's own assets tell",
		"events of the outbox become deliveries":                        "the events' own acts are audited; what is owed follows from them",
		"who sends a due delivery":                                      "a lease",
		"outcomes of deliveries":                                        "kept as tries in the delivery log; a webhook's disabling is audited",
		"deliveries of a webhook that takes none":                       "its disabling or deletion was audited; this follows from it",
		"deliveries of a deleted webhook":                               "the deletion was audited; this follows from it",
		"further deliveries of a replay whose order is audited":         "the order's entry stands for all of it",
		"rate windows": "counters that survive a restart",
	}
}

package scan

import (
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Notice is the data of scan.* events: ids, states and counts.
type Notice struct {
	ScanID   uid.Scan         `json:"scanId"`
	ParentID uid.Scan         `json:"parentId,omitempty"` // of a scan that carries out a part of another
	ScanType string           `json:"scanType"`
	Status   Status           `json:"status"`
	Priority Priority         `json:"priority"`
	Progress int              `json:"progress"`
	Phase    string           `json:"phase,omitempty"`
	Attempt  int              `json:"attempt,omitempty"`
	Outcome  engine.Outcome   `json:"outcome,omitempty"`
	Error    fault.Code       `json:"error,omitempty"`
	Findings *finding.Summary `json:"findings,omitempty"` // of scans that have ended
}

// Notice tells of s as it is, as scan.* events do.
func (s Scan) Notice() Notice {
	n := Notice{
		ScanID: s.ID, ParentID: s.Parent, ScanType: s.Engine, Status: s.Status, Priority: s.Priority, Progress: s.Progress, Phase: s.Phase,
		Attempt: s.Attempt, Outcome: s.Outcome,
	}
	if s.Error != nil {
		n.Error = s.Error.Code
	}
	if s.Status.Terminal() {
		n.Findings = &s.Summary
	}
	return n
}

// MaxNoticeIDs is how many finding ids an event names; the count is exact.
const MaxNoticeIDs = 100

// FindingNotice is the data of finding.* events: what one scan opened, reopened or found fixed.
type FindingNotice struct {
	ScanID     uid.Scan      `json:"scanId"`
	ParentID   uid.Scan      `json:"parentId,omitempty"`
	ScanType   string        `json:"scanType"`
	Count      int           `json:"count"`
	FindingIDs []uid.Finding `json:"findingIds"` // the first MaxNoticeIDs
}

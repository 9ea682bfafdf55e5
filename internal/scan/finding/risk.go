package finding

// Risk is how much danger lies in a finding or a case: 0 (none) to 100, and what it is made of. The points of the
// reasons sum to the score.
type Risk struct {
	Version string // of the formula that made it, "r1"
	Score   int
	Reasons []RiskReason
}

// RiskReason is one part of a risk.
type RiskReason struct {
	Code   string `json:"code"` // what is weighed: "impact", "exploit_prediction"; docs/guides/cases.md lists them
	Points int    `json:"points"`
	Text   string `json:"text"` // why so many, for people; says "not known" where nothing is known
}

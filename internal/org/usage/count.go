package usage

import "time"

// CallCount counts calls. The zero value counts none; counts are added with Add.
type CallCount struct {
	Calls     int64
	Success   int64 // answered 2xx
	Errors    int64 // answered 4xx or 5xx
	Micros    int64 // sum of their durations
	MaxMicros int64 // the longest of them
}

// CallOf is the one rule of what a call is, for the kept counters and for whoever counts them again from an export: an
// audit entry with a method and with the status of an answer. Refused calls of a known principal are calls; acts of the
// server and of the operator have no method; a further entry of the same call (the end of a stream, the second unit of a
// batch) has no status; calls without a valid credential are summarised in the operator's log, without a method.
func CallOf(method string, status int, micros int64) (CallCount, bool) {
	if method == "" || status == 0 {
		return CallCount{}, false
	}
	c := CallCount{Calls: 1, Micros: micros, MaxMicros: micros}
	if status >= 400 {
		c.Errors = 1
	} else {
		c.Success = 1 // operations answer 2xx, or with an error
	}
	return c, true
}

// Add counts o too.
func (c *CallCount) Add(o CallCount) {
	c.Calls += o.Calls
	c.Success += o.Success
	c.Errors += o.Errors
	c.Micros += o.Micros
	c.MaxMicros = max(c.MaxMicros, o.MaxMicros)
}

// AvgMs is the mean duration in milliseconds, 0 where nothing was called.
func (c CallCount) AvgMs() float64 { return mean(c.Micros, c.Calls) }

// MaxMs is the longest duration in milliseconds.
func (c CallCount) MaxMs() float64 { return milliseconds(c.MaxMicros) }

// ScanCount counts scans of one engine: Submitted and Returned in the hour of the submission, the rest in that of the
// end.
type ScanCount struct {
	Submitted int64 `json:"s,omitempty"`
	Returned  int64 `json:"b,omitempty"` // given back to the quota: they failed for the platform's own reasons
	Completed int64 `json:"c,omitempty"`
	Failed    int64 `json:"f,omitempty"`
	Cancelled int64 `json:"x,omitempty"`
	Ran       int64 `json:"r,omitempty"` // of those that ended: had started
	Micros    int64 `json:"d,omitempty"` // sum of their running times
	Findings  int64 `json:"n,omitempty"` // that they showed at their end
}

// Add counts o too.
func (c *ScanCount) Add(o ScanCount) {
	c.Submitted += o.Submitted
	c.Returned += o.Returned
	c.Completed += o.Completed
	c.Failed += o.Failed
	c.Cancelled += o.Cancelled
	c.Ran += o.Ran
	c.Micros += o.Micros
	c.Findings += o.Findings
}

// AvgMs is the mean running time in milliseconds, 0 where no scan ended that had started.
func (c ScanCount) AvgMs() float64 { return mean(c.Micros, c.Ran) }

// HourOf returns the start of the UTC hour that t lies in: the grain of the counters.
func HourOf(t time.Time) time.Time { return t.UTC().Truncate(time.Hour) }

// mean is in milliseconds, to the microsecond.
func mean(micros, n int64) float64 {
	if n <= 0 {
		return 0
	}
	return milliseconds(micros / n)
}

func milliseconds(micros int64) float64 { return float64(micros) / 1000 }

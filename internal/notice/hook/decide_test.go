package hook_test

import (
	"net/http"
	"testing"
	"time"

	"pgregory.net/rapid"

	"assay.dev/assay/internal/notice/hook"
)

func epoch() time.Time { return time.Date(2026, 3, 6, 10, 0, 0, 0, time.UTC) }

func tried(status, tries int, at time.Time) hook.Outcome {
	return hook.Outcome{
		Letter: hook.Letter{Hook: "wh-1", Tries: tries}, Attempt: hook.Attempt{Status: status, At: at},
	}
}

func TestTheScheduleIsTheDocumentedOne(t *testing.T) {
	t.Parallel()
	want := []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour,
		20 * time.Hour, 24 * time.Hour,
	}
	for tries := 1; tries <= len(want); tries++ {
		due, again := hook.Next(tries, tried(500, tries-1, epoch()), epoch())
		if !again || due.Sub(epoch()) != want[tries-1] {
			t.Errorf("after try %d: %v, %v; want %v", tries, due.Sub(epoch()), again, want[tries-1])
		}
	}
	if _, again := hook.Next(len(want)+1, tried(500, len(want), epoch()), epoch()); again {
		t.Error("an eleventh try is made")
	}
}

func TestAWaitIsLengthenedByJitterAndByWhatTheReceiverAsksFor(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tries := rapid.IntRange(1, 9).Draw(t, "tries")
		status := rapid.SampledFrom([]int{0, 400, 429, 500, 503}).Draw(t, "status")
		asked := time.Duration(rapid.Int64Range(0, int64(100*time.Hour)).Draw(t, "asked"))
		o := tried(status, tries-1, epoch())
		o.RetryAfter, o.Chance = asked, rapid.Float64Range(-1, 2).Draw(t, "chance")
		due, again := hook.Next(tries, o, epoch())
		wait := due.Sub(epoch())
		least := hook.Schedule()[tries-1]
		if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
			least = max(least, min(asked, hook.MaxRetryAfter))
		}
		if !again || wait < least || wait > least+least/10+1 {
			t.Fatalf("wait %v, want %v to a tenth more", wait, least)
		}
	})
}

// TestAWebhooksLifeFollowsItsAnswers holds the state machine against a plain retelling of the rules.
func TestAWebhooksLifeFollowsItsAnswers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var h hook.Health
		now := epoch()
		failures := 0
		var since time.Time
		for range rapid.IntRange(1, 40).Draw(t, "tries") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(40*time.Hour)).Draw(t, "later")))
			status := rapid.SampledFrom([]int{0, 200, 204, 299, 300, 302, 400, 404, 410, 429, 500, 503}).Draw(t, "status")
			tries := rapid.IntRange(0, 9).Draw(t, "before")
			o := tried(status, tries, now)
			var v hook.Verdict
			v, h = hook.Judge(h, o)
			good := status >= 200 && status < 300
			if good {
				failures, since = 0, time.Time{}
			} else {
				if failures == 0 {
					since = now
				}
				failures++
			}
			gone, worn := status == 410, !good && now.Sub(since) >= hook.DisabledAfter
			want := hook.Pending
			switch {
			case good:
				want = hook.Delivered
			case gone || worn:
				want = hook.Held
			case tries == 9:
				want = hook.Failed
			}
			if v.State != want || (want == hook.Pending) != v.Due.After(now) {
				t.Fatalf("a %d after %d tries and %d failures since %v: %+v, want %s", status, tries, failures, since, v, want)
			}
			if h.Failures != failures || !h.FailingSince.Equal(since) || h.Healthy() != (failures < 5) || !h.LastAt.Equal(now) {
				t.Fatalf("health %+v, want %d failures since %v", h, failures, since)
			}
			stop := h.Stopped(o)
			if (stop == hook.StoppedGone) != gone || (stop == hook.StoppedFailed) != (worn && !gone) {
				t.Fatalf("stop %q after a %d", stop, status)
			}
			if o.Hook = ""; !good && (gone || worn) {
				if v, _ := hook.Judge(hook.Health{FailingSince: since, Failures: failures - 1}, o); v.State != hook.Failed {
					t.Fatalf("a callback is %s", v.State)
				}
			}
		}
	})
}

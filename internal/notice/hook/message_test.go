package hook_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"assay.dev/assay/internal/notice/hook"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

const (
	ours   uid.Org = "01900000-0000-7000-8000-00000000000a"
	theirs uid.Org = "01900000-0000-7000-8000-00000000000b"
)

func TestThePublicLibraryVerifiesEveryLivingSecret(t *testing.T) {
	t.Parallel()
	keys := [][]byte{bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)}
	body := []byte(`{"type":"scan.completed","data":{"x":"é <>&"}}`)
	now := time.Now()
	for n := 1; n <= len(keys); n++ {
		h := hook.Headers(keys[:n], "evt_1", now, body)
		for i, k := range keys {
			lib, err := standardwebhooks.NewWebhook("whsec_" + base64.StdEncoding.EncodeToString(k))
			if err != nil {
				t.Fatal(err)
			}
			if err := lib.Verify(body, h); (err == nil) != (i < n) {
				t.Errorf("%d signatures, key %d: %v", n, i, err)
			}
			if lib.Verify(append([]byte(" "), body...), h) == nil {
				t.Error("altered bytes are verified")
			}
		}
		if h.Get("Content-Type") != "application/json" || h.Get("webhook-id") != "evt_1" {
			t.Errorf("headers %v", h)
		}
	}
}

func TestTheSignatureIsThatOfTheSpecificationsExample(t *testing.T) {
	t.Parallel()
	key, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	h := hook.Headers([][]byte{key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if got := h.Get("webhook-signature"); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("signature %s", got)
	}
}

func TestAMessageHoldsTypeTimeDataAndLinks(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 6, 10, 0, 0, 120e6, time.UTC)
	for _, c := range []struct {
		name, data string
		typ        event.Type
		want       string
	}{
		{"a scan's end", `{"scanId":"s","progress":100}`, event.ScanCompleted, `{"type":"scan.completed","timestamp":"2026-03-06T10:00:00.12Z","data":{"scanId":"s","progress":100,"links":{"scan":"https://a.example/scan-api/api/v1/scans/s","results":"https://a.example/scan-api/api/v1/scans/s/results"}}}`},
		{"a scan's start", `{}`, event.ScanStarted, `{"type":"scan.started","timestamp":"2026-03-06T10:00:00.12Z","data":{"links":{"scan":"https://a.example/scan-api/api/v1/scans/s"}}}`},
		{"a webhook", ` { "n" : 12345678901234567890 } `, event.WebhookDisabled, `{"type":"webhook.disabled","timestamp":"2026-03-06T10:00:00.12Z","data":{"n":12345678901234567890,"links":{"webhook":"https://a.example/scan-api/api/v1/webhooks/s","deliveries":"https://a.example/scan-api/api/v1/webhooks/s/deliveries"}}}`},
		{"no object", `[]`, event.FindingFixed, `{"type":"finding.fixed","timestamp":"2026-03-06T10:00:00.12Z","data":{"links":{"scan":"https://a.example/scan-api/api/v1/scans/s","results":"https://a.example/scan-api/api/v1/scans/s/results"}}}`},
	} {
		got, err := hook.BodyOf("https://a.example/", event.Event{Type: c.typ, Subject: "s", At: at, Data: json.RawMessage(c.data)})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestEventsGoToThoseWhoWantThemAndToNobodyElse(t *testing.T) {
	t.Parallel()
	now := func() time.Time { return epoch() }
	ids := uid.NewSource(now, rand.Reader)
	old := epoch().Add(-time.Hour)
	hooks := map[uid.Org][]hook.Webhook{
		ours: {
			{ID: "wh-all", Events: []string{"*"}, CreatedAt: old},
			{ID: "wh-end", Events: []string{"scan.completed"}, CreatedAt: old},
			{ID: "wh-off", Events: []string{"scan.*"}, CreatedAt: old, Stop: hook.StoppedFailed},
			{ID: "wh-new", Events: []string{"*"}, CreatedAt: epoch().Add(time.Second)},
		},
		theirs: {{ID: "wh-theirs", Events: []string{"*"}, CreatedAt: old}},
	}
	at := func(org uid.Org, typ event.Type, callback string) hook.Posted {
		return hook.Posted{Event: event.Event{Org: org, Type: typ, Subject: "s", At: epoch(), Data: json.RawMessage(`{}`)}, Callback: callback}
	}
	messages, err := hook.Route("", ids, now, []hook.Posted{
		at(ours, event.ScanCompleted, "https://r.example/x"), at(ours, event.FindingOpened, ""), at("none", event.ScanFailed, ""), at(theirs, event.ScanFailed, ""),
	}, hooks)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	seen := map[string]bool{}
	for _, m := range messages {
		line := string(m.Org[len(m.Org)-1:]) + " " + string(m.Type)
		for _, d := range m.Drops {
			line += " " + string(d.Hook) + string(d.Scan) + ":" + string(d.State)
		}
		got = append(got, line)
		if !strings.HasPrefix(m.ID, "evt_") || seen[m.ID] {
			t.Errorf("id %s", m.ID)
		}
		seen[m.ID] = true
	}
	want := []string{
		"a scan.completed wh-all:pending wh-end:pending wh-off:held s:pending", "a finding.opened wh-all:pending", "b scan.failed wh-theirs:pending",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCallbacksOfOneServerShareALane(t *testing.T) {
	t.Parallel()
	a := hook.CallbackLane(ours, "https://r.example/a?b")
	for other, same := range map[string]bool{
		"https://R.example/c": true, "https://r.example:8443/a": false, "http://r.example/a": false, "https://s.example/a": false, "https://r.example": true,
	} {
		if (hook.CallbackLane(ours, other) == a) != same {
			t.Errorf("%s: same lane is not %v", other, same)
		}
	}
	if hook.CallbackLane(theirs, "https://r.example/a?b") == a {
		t.Error("two organizations share a lane")
	}
}

type httpsOnly struct{}

func (httpsOnly) Check(u *url.URL) error {
	if u.Scheme != "https" {
		return fault.New(fault.Forbidden, fault.CodeTargetForbidden, "no http")
	}
	return nil
}

func TestAnAddressIsAbsoluteHttpsWithoutCredentials(t *testing.T) {
	t.Parallel()
	long := "https://h.example/" + strings.Repeat("x", hook.MaxURL-18)
	for s, good := range map[string]bool{
		"https://h.example/a?b=c&d=%20": true, "https://[2001:db8::1]:8443/": true, "https://h.example": true, long: true,
		long + "x": false, "http://h.example/": false, "h.example": false, "//h.example": false, "ftp://h.example": false, "https:h": false,
		"https://u:p@h.example/": false, "https://u@h.example": false, "https://h.example/#f": false, "https://h.example/#": false, "https:///x": false,
		"https://h.example:0/": false, "https://h.example:/": false, "https://h.example/\n": false, "https://h.example/ x": false, "https://bücher.example/": false,
		"": false, "javascript:alert(1)": false, "https://h.example:99999999/": true, // the dialler refuses it
	} {
		got, err := hook.ParseURL("url", s, httpsOnly{})
		if (err == nil) != good || (good && got != s) {
			t.Errorf("%.60q: %q, %v", s, got, err)
		}
		if err != nil {
			f := fault.Of(err)
			if f.Kind != fault.Invalid || len(f.Fields) != 1 || f.Fields[0].Location != "url" {
				t.Errorf("%.60q: %+v", s, f)
			}
		}
	}
}

func TestRetryAfterIsReadInBothFormsAndBounded(t *testing.T) {
	t.Parallel()
	now := epoch()
	for header, want := range map[string]time.Duration{
		"": 0, "30": 30 * time.Second, "0": 0, "-5": 0, "1.5": 0, "soon": 0, "86400": 24 * time.Hour, "999999": 24 * time.Hour, "99999999999999999999": 0,
		"9223372036854775807":                             24 * time.Hour,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second, now.Add(-time.Hour).Format(http.TimeFormat): 0,
		now.Add(72 * time.Hour).Format(http.TimeFormat): 24 * time.Hour,
	} {
		if got := hook.RetryAfter(header, now); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

func FuzzAnswersBecomeHarmlessText(f *testing.F) {
	for _, s := range []string{"ok", "\x1b[31mred\x1b[0m", "a\r\nb\tc", "\xff\xfe", "é", "\u202eevil", "\x00", "\u2028"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got := hook.Masked(b)
		if !utf8.ValidString(got) || len(got) > 2*len(b) {
			t.Fatalf("%q became %q", b, got)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				t.Fatalf("%q keeps %U", b, r)
			}
		}
	})
}

func FuzzParseURLNeverTakesWhatItCannotReadBack(f *testing.F) {
	for _, s := range []string{"https://h.example/", "https://[::1]/", "https://a@b/", "https://h.example/%zz", "https://h.example?x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := hook.ParseURL("url", s, httpsOnly{})
		if err != nil {
			return
		}
		u, err := url.Parse(got)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Hostname() == "" || u.Fragment != "" || got != s {
			t.Fatalf("%q was taken as %v, %v", s, u, err)
		}
	})
}

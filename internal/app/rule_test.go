package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/client"
)

func TestScansStayWithinTheScope(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		at, err := url.Parse(h.url)
		if err != nil {
			t.Fatal(err)
		}
		for name, tc := range map[string]struct {
			target string
			status int
			code   string
		}{
			"cloud metadata":           {"169.254.169.254", 403, "TARGET_NOT_ALLOWED"},
			"cloud metadata by URL":    {"http://169.254.169.254/latest/meta-data/", 403, "TARGET_NOT_ALLOWED"},
			"cloud metadata over IPv6": {"http://[fd00:ec2::254]/", 403, "TARGET_NOT_ALLOWED"},
			"metadata in disguise":     {"::ffff:169.254.169.254", 403, "TARGET_NOT_ALLOWED"},
			"link-local":               {"169.254.1.1", 403, "TARGET_NOT_ALLOWED"},
			"link-local network":       {"169.254.0.0/24", 403, "TARGET_NOT_ALLOWED"},
			"multicast":                {"224.0.0.1", 403, "TARGET_NOT_ALLOWED"},
			"not on the list":          {"203.0.113.9", 403, "TARGET_NOT_ALLOWED"},
			"network not on the list":  {"203.0.113.0/30", 403, "TARGET_NOT_ALLOWED"},
			"the server itself":        {h.url + "/", 403, "TARGET_NOT_ALLOWED"},
			"the server by name":       {"http://localhost:" + at.Port() + "/", 403, "TARGET_NOT_ALLOWED"},
			"too large a network":      {"10.0.0.0/8", 400, "VALIDATION_ERROR"},
			"an option":                {"-oN", 400, "VALIDATION_ERROR"},
			"a control character":      {"127.0.0.1\n", 400, "VALIDATION_ERROR"},
			"user info":                {"http://user:pass@127.0.0.1/", 400, "VALIDATION_ERROR"},
			"another scheme":           {"file:///etc/passwd", 400, "VALIDATION_ERROR"},
			"nothing":                  {"", 400, "VALIDATION_ERROR"},
		} {
			a := h.call(http.MethodPost, scanAPI+"/scans", order{Target: tc.target, ScanType: "sentinel"})
			if a.status != tc.status || a.code() != tc.code {
				t.Errorf("%s: %d %s, want %d %s", name, a.status, a.code(), tc.status, tc.code)
			}
			if tc.target != "" && bytes.Contains(a.body, []byte("pass@")) {
				t.Errorf("%s: the answer repeats the target", name)
			}
		}
		var page client.Scans
		h.must(http.MethodGet, scanAPI+"/scans", nil, &page)
		if len(page.Scans) != 0 {
			t.Errorf("refused orders left %d scans", len(page.Scans))
		}
		// Its own ports are taken out of every list on its own addresses.
		weak := weakTarget(t)
		id := h.submit(sentinel("127.0.0.1", weak.PortList()+","+at.Port()))
		h.ended(id)
		found, total := h.results(id)
		if total == 0 {
			t.Error("nothing was found beside the server's own port")
		}
		for _, f := range found {
			if strconv.Itoa(f.Location.Port) == at.Port() {
				t.Errorf("the server scanned itself: %s", f.Title)
			}
		}
	})
}

func TestAnotherOrganizationsThingsDoNotExist(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		id := h.submit(sentinel("127.0.0.1", "1"))
		h.ended(id)
		var keys struct {
			Keys []client.Key `json:"apiKeys"`
		}
		h.must(http.MethodGet, scanAPI+"/api-keys", nil, &keys)
		var asset, page struct {
			ID   string
			Data []struct{ ID string }
		}
		h.must(http.MethodPost, "/api/assets", map[string]string{"kind": "host", "name": "10.1.1.1"}, &asset)
		h.must(http.MethodGet, "/api/log/entries", nil, &page)
		theirs := h.stranger("enterprise")
		const nobody = "01a20000-0000-7000-8000-000000000000"
		for _, tc := range []struct{ method, path, id string }{
			{http.MethodGet, scanAPI + "/scans/%s", id},
			{http.MethodGet, scanAPI + "/scans/%s/results", id},
			{http.MethodGet, scanAPI + "/scans/%s/results?format=raw", id},
			{http.MethodGet, scanAPI + "/scans/%s/results?format=sarif", id},
			{http.MethodGet, scanAPI + "/scans/%s/events", id},
			{http.MethodPost, scanAPI + "/scans/%s/cancel", id},
			{http.MethodGet, scanAPI + "/api-keys/%s", keys.Keys[0].ID},
			{http.MethodPost, scanAPI + "/api-keys/%s/rotate", keys.Keys[0].ID},
			{http.MethodDelete, scanAPI + "/api-keys/%s", keys.Keys[0].ID},
			{http.MethodGet, "/api/assets/%s", asset.ID},
			{http.MethodDelete, "/api/assets/%s", asset.ID},
			{http.MethodGet, "/api/log/proof/inclusion?entryId=%s", page.Data[0].ID},
		} {
			real, none := theirs.call(tc.method, fmt.Sprintf(tc.path, tc.id), nil), theirs.call(tc.method, fmt.Sprintf(tc.path, nobody), nil)
			if real.status != http.StatusNotFound {
				t.Errorf("%s %s: %d %s", tc.method, tc.path, real.status, real.body)
			}
			if diff := cmp.Diff(told(none, nobody), told(real, tc.id)); diff != "" {
				t.Errorf("%s %s tells what exists from what doesn't:\n%s", tc.method, tc.path, diff)
			}
		}
		var scans client.Scans
		theirs.must(http.MethodGet, scanAPI+"/scans", nil, &scans)
		if len(scans.Scans) != 0 {
			t.Errorf("another organization lists %d scans", len(scans.Scans))
		}
		if a := theirs.call(http.MethodPost, scanAPI+"/scans", sentinel("127.0.0.1", "1")); a.code() != "TARGET_NOT_ALLOWED" {
			t.Errorf("a new organization's scope isn't empty: %d %s", a.status, a.code())
		}
		// Ours are as they were.
		h.must(http.MethodGet, scanAPI+"/scans/"+id, nil, nil)
		h.must(http.MethodGet, "/api/assets/"+asset.ID, nil, nil)
	})
}

// told is an answer without what differs from call to call.
func told(a answer, id string) string {
	return fmt.Sprint(a.status, " ", regexp.MustCompile(`"(requestId|instance)":"[^"]*"`).ReplaceAllString(strings.ReplaceAll(string(a.body), id, "ID"), ""))
}

// entry is an audit entry as the API shows it.
type entry struct {
	Index           *uint64
	ID              string
	EventType       string
	Method          string
	Status          int
	ClientRequestID string
	LeafHash        []byte
	Actor           struct{ Kind, ID string }
}

// entries reads the whole log, oldest first.
func (c caller) entries() (all []entry) {
	c.t.Helper()
	for cursor := ""; ; {
		var page struct {
			Data []entry
			Meta struct{ NextCursor string }
		}
		path := "/api/log/entries?order=asc&limit=100"
		if cursor != "" {
			path += "&cursor=" + cursor
		}
		c.must(http.MethodGet, path, nil, &page)
		all = append(all, page.Data...)
		if cursor = page.Meta.NextCursor; cursor == "" {
			return all
		}
	}
}

func TestEveryCallLeavesOneProvableEntry(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		id := h.submit(sentinel("127.0.0.1", "1"))
		h.ended(id)
		calls := []struct {
			method, path string
			in           any
		}{
			{http.MethodGet, scanAPI + "/scans", nil},
			{http.MethodGet, scanAPI + "/scans?limit=0", nil},
			{http.MethodGet, scanAPI + "/scans/" + id, nil},
			{http.MethodGet, scanAPI + "/scans/nonsense", nil},
			{http.MethodGet, scanAPI + "/scans/" + id + "/results", nil},
			{http.MethodGet, scanAPI + "/scans/" + id + "/results?format=csv", nil},
			{http.MethodGet, scanAPI + "/scans/" + id + "/results?format=pdf", nil},
			{http.MethodPost, scanAPI + "/scans/" + id + "/cancel", nil},
			{http.MethodPost, scanAPI + "/scans", sentinel("127.0.0.1", "1")},
			{http.MethodPost, scanAPI + "/scans", sentinel("169.254.169.254", "1")},
			{http.MethodPost, scanAPI + "/scans", map[string]any{"target": "127.0.0.1", "nonsense": true}},
			{http.MethodPost, scanAPI + "/scans", "nonsense"},
			{http.MethodGet, scanAPI + "/engines", nil},
			{http.MethodGet, scanAPI + "/nonsense", nil},
			{http.MethodDelete, scanAPI + "/scans", nil},
			{http.MethodPost, scanAPI + "/api-keys", map[string]any{"name": "k", "scopes": []string{"scans:read"}}},
			{http.MethodGet, "/api/assets", nil},
			{http.MethodPost, "/api/assets", map[string]string{"kind": "host", "name": "10.2.2.2"}},
			{http.MethodPost, "/api/assets", map[string]string{"kind": "nonsense", "name": ""}},
			{http.MethodGet, "/api/org", nil},
			{http.MethodPatch, "/api/org", map[string]any{"timeZone": "Europe/Paris"}},
			{http.MethodPatch, "/api/org", map[string]any{"timeZone": "Nowhere/Land"}},
			{http.MethodGet, "/api/log/checkpoint", nil},
			{http.MethodGet, "/api/keys", nil},
			{http.MethodGet, "/system/license/status", nil},
			{http.MethodGet, scanAPI + "/scans/" + id + "/events", nil},
		}
		want := map[string]string{}
		for i, call := range calls {
			name := fmt.Sprintf("call-%d", i)
			a := h.call(call.method, call.path, call.in, "X-Request-Id", name)
			if got := a.header.Get("X-Request-Id"); got != name {
				t.Errorf("%s %s: the request id comes back as %q", call.method, call.path, got)
			}
			want[name] = strconv.Itoa(a.status)
		}
		// A stream is told twice: when it opens and when it closes. The second entry has no status: it is no further call.
		stream := fmt.Sprintf("call-%d", len(calls)-1)
		want[stream] = "200 0"
		var got map[string]string
		h.eventually(5*time.Second, func() bool {
			got = map[string]string{}
			for _, e := range h.entries() {
				if e.ClientRequestID == "" {
					continue
				}
				if e.Actor.Kind != "api_key" || e.Actor.ID == "" || e.EventType == "" {
					t.Errorf("entry %+v", e)
				}
				got[e.ClientRequestID] = strings.TrimSpace(got[e.ClientRequestID] + " " + strconv.Itoa(e.Status))
			}
			return len(got) >= len(want) && got[stream] == want[stream]
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("entries by call (-want +got):\n%s", diff)
		}
		provable(t, h)
	})
}

// provable checks the log as somebody would who trusts its keys and nothing else.
func provable(t *testing.T, h *house) {
	t.Helper()
	var doc bytes.Buffer
	if err := h.op.ExportKeys(t.Context(), h.org, &doc); err != nil {
		t.Fatal(err)
	}
	keys, err := audit.ParseKeys(&doc)
	if err != nil {
		t.Fatal(err)
	}
	if served, err := audit.ParseKeys(bytes.NewReader(h.must(http.MethodGet, "/api/keys", nil, nil).body)); err != nil {
		t.Errorf("the keys that the API serves can't be read: %v", err)
	} else if diff := cmp.Diff(keys, served); diff != "" {
		t.Errorf("exported and served keys differ:\n%s", diff)
	}
	checkpoint := func() audit.Opened {
		note := h.must(http.MethodGet, "/api/log/checkpoint", nil, nil).body
		opened, err := audit.OpenCheckpoint(note, keys, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return opened
	}
	old := checkpoint()
	for _, e := range h.entries() {
		if e.Index == nil || *e.Index >= old.Size {
			continue
		}
		var p struct {
			Index, Size    uint64
			LeafHash, Root []byte
			Path           [][]byte
		}
		h.must(http.MethodGet, fmt.Sprintf("/api/log/proof/inclusion?entryId=%s&size=%d", e.ID, old.Size), nil, &p)
		if !bytes.Equal(p.Root, old.Root[:]) || !bytes.Equal(p.LeafHash, e.LeafHash) {
			t.Errorf("the proof of entry %d is of another root or leaf", *e.Index)
		}
		if err := audit.VerifyInclusion(p.Index, p.Size, e.LeafHash, p.Path, old.Root[:]); err != nil {
			t.Errorf("entry %d: %v", *e.Index, err)
		}
	}
	h.until("the log to grow", 10*time.Second, func() bool { return checkpoint().Size > old.Size })
	now := checkpoint()
	var p struct{ Path [][]byte }
	h.must(http.MethodGet, fmt.Sprintf("/api/log/proof/consistency?from=%d&to=%d", old.Size, now.Size), nil, &p)
	if err := audit.VerifyConsistency(old.Size, now.Size, p.Path, old.Root[:], now.Root[:]); err != nil {
		t.Errorf("from %d to %d: %v", old.Size, now.Size, err)
	}
	var log bytes.Buffer
	if err := h.op.ExportLog(t.Context(), h.org, &log); err != nil {
		t.Fatal(err)
	}
	report, err := audit.VerifyExport(&log, keys, &old.Checkpoint)
	if err != nil || report.Entries < now.Size {
		t.Errorf("the export holds %d of at least %d entries: %v %+v", report.Entries, now.Size, err, report.Problems)
	}
}

func TestTheSameOrderSentFiftyTimesAtOnceIsOneScan(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		const callers = 50
		answers := make([]answer, callers)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() {
				a, err := h.try(http.MethodPost, scanAPI+"/scans", sentinel("127.0.0.1", "1"), "Idempotency-Key", "once")
				if err != nil {
					t.Error(err)
				}
				answers[i] = a
			})
		}
		all.Wait()
		made := map[string]int{}
		for _, a := range answers {
			if a.status == http.StatusConflict && a.code() == "IDEMPOTENCY_IN_PROGRESS" {
				continue
			}
			var s client.Scan
			a.into(t, &s)
			if a.status != http.StatusCreated {
				t.Errorf("%d %s", a.status, a.body)
			}
			made[s.ID]++
		}
		if len(made) != 1 {
			t.Errorf("one order was answered with the scans %v", made)
		}
		var page client.Scans
		h.must(http.MethodGet, scanAPI+"/scans", nil, &page)
		if len(page.Scans) != 1 {
			t.Errorf("one order made %d scans", len(page.Scans))
		}
		again := h.call(http.MethodPost, scanAPI+"/scans", sentinel("127.0.0.1", "2"), "Idempotency-Key", "once")
		if again.status != http.StatusConflict || again.code() != "IDEMPOTENCY_KEY_REUSED" {
			t.Errorf("another body under the same key: %d %s", again.status, again.code())
		}
		refused := h.call(http.MethodPost, scanAPI+"/scans", sentinel("169.254.169.254", "2"), "Idempotency-Key", "twice")
		taken := h.call(http.MethodPost, scanAPI+"/scans", sentinel("127.0.0.1", "2"), "Idempotency-Key", "twice")
		if refused.status != http.StatusForbidden || taken.status != http.StatusCreated {
			t.Errorf("a refused order holds its key: %d, then %d", refused.status, taken.status)
		}
	})
}

func TestWindowsRefuseExactlyWhatIsOverThem(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		for try := range 3 {
			key, err := h.op.CreateKey(t.Context(), h.org, client.KeyOrder{
				Name: fmt.Sprintf("narrow %d", try), Scopes: []string{"scans:list"}, RateLimitPerMinute: 5,
			})
			if err != nil {
				t.Fatal(err)
			}
			c := caller{t: t, url: h.url, org: h.org, key: key.Secret}
			answers := make([]answer, 20)
			var all sync.WaitGroup
			for i := range answers {
				all.Go(func() {
					a, err := c.try(http.MethodGet, scanAPI+"/scans", nil)
					if err != nil {
						t.Error(err)
					}
					answers[i] = a
				})
			}
			all.Wait()
			windows := map[string]bool{}
			good := 0
			for _, a := range answers {
				windows[a.header.Get("X-RateLimit-Reset")] = true
				if a.header.Get("X-RateLimit-Limit") != "5" {
					t.Errorf("the limit is told as %q", a.header.Get("X-RateLimit-Limit"))
				}
				if a.status == http.StatusOK {
					good++
					continue
				}
				wait, err := strconv.Atoi(a.header.Get("Retry-After"))
				if a.status != http.StatusTooManyRequests || a.code() != "RATE_LIMIT_EXCEEDED" || err != nil || wait < 1 || wait > 60 ||
					a.header.Get("X-RateLimit-Remaining") != "0" {
					t.Errorf("refused with %d %s, Retry-After %q, remaining %q", a.status, a.code(), a.header.Get("Retry-After"), a.header.Get("X-RateLimit-Remaining"))
				}
			}
			if len(windows) > 1 {
				continue // the minute turned under the calls: two windows took part
			}
			if good != 5 {
				t.Errorf("a window of 5 let %d calls through", good)
			}
			return
		}
		t.Error("the minute turned three times")
	})
}

func TestAPlansQuotaEndsWithTheAcceptedScans(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		c := h.stranger("free")
		c.must(http.MethodPut, "/api/org/scan-scope", map[string]any{"allow": []any{map[string]string{"value": "127.0.0.0/8"}}}, nil)
		c.must(http.MethodPatch, "/api/org", map[string]any{"concurrency": map[string]int{"organization": 1}}, nil)
		// Refused orders cost nothing, so the hundred that the plan allows are all there. The key's own window would end
		// this sooner; each key has its own.
		accepted, over := 0, answer{}
		for i := 0; accepted <= 100 && over.status == 0; i++ {
			if i%25 == 0 {
				key, err := h.op.CreateKey(t.Context(), c.org, client.KeyOrder{Name: fmt.Sprint("part ", i), Scopes: everything()})
				if err != nil {
					t.Fatal(err)
				}
				c.key = key.Secret
			}
			if i%25 == 0 {
				if a := c.call(http.MethodPost, scanAPI+"/scans", sentinel("10.0.0.1", "1")); a.status != http.StatusForbidden {
					t.Fatalf("%d %s", a.status, a.body)
				}
			}
			switch a := c.call(http.MethodPost, scanAPI+"/scans", sentinel("127.0.0.1", "1")); a.status {
			case http.StatusCreated:
				accepted++
			default:
				over = a
			}
		}
		if accepted != 100 || over.status != http.StatusTooManyRequests || over.code() != "QUOTA_EXCEEDED" {
			t.Errorf("%d scans, then %d %s", accepted, over.status, over.body)
		}
		if _, err := h.op.SetPlan(t.Context(), c.org, "pro"); err != nil {
			t.Fatal(err)
		}
		h.until("the wider plan", 5*time.Second, func() bool {
			return c.call(http.MethodPost, scanAPI+"/scans", sentinel("127.0.0.1", "1")).status == http.StatusCreated
		})
	})
}

func TestASuspendedOrganizationIsRefusedEverything(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		theirs := h.stranger("pro")
		theirs.must(http.MethodGet, scanAPI+"/scans", nil, nil)
		if _, err := h.op.Suspend(t.Context(), theirs.org, true); err != nil {
			t.Fatal(err)
		}
		var body json.RawMessage
		h.until("the suspension", 3*time.Second, func() bool {
			a := theirs.call(http.MethodGet, scanAPI+"/scans", nil)
			body = a.body
			return a.status == http.StatusForbidden || a.status == http.StatusUnauthorized
		})
		if bytes.Contains(body, []byte(theirs.org)) {
			t.Errorf("the refusal names the organization: %s", body)
		}
		h.must(http.MethodGet, scanAPI+"/scans", nil, nil)
		if _, err := h.op.Suspend(t.Context(), theirs.org, false); err != nil {
			t.Fatal(err)
		}
		h.until("the resumption", 3*time.Second, func() bool { return theirs.call(http.MethodGet, scanAPI+"/scans", nil).status == http.StatusOK })
	})
}

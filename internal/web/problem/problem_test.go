package problem_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/fault"
)

func families() []problem.Family {
	return []problem.Family{problem.Scan, problem.Vault, problem.Evidence, problem.Platform}
}

func TestEveryKindHasOneStatusInEachFamily(t *testing.T) {
	t.Parallel()
	want := map[fault.Kind]int{
		fault.Internal: 500, fault.Invalid: 422, fault.Unauthenticated: 401, fault.Forbidden: 403, fault.NotFound: 404,
		fault.Conflict: 409, fault.Exhausted: 429, fault.Unavailable: 503, fault.Unsupported: 422, fault.Canceled: 499,
	}
	for kind := fault.Internal; kind <= fault.Canceled; kind++ {
		for _, family := range families() {
			status := want[kind]
			if family == problem.Scan && status == 422 {
				status = 400
			}
			if got := problem.Status(family, fault.New(kind, "SOME_CODE", "text")); got != status {
				t.Errorf("%s in %s: %d, want %d", kind, family, got, status)
			}
		}
	}
}

func TestScanFamilyAnswersInItsEnvelope(t *testing.T) {
	t.Parallel()
	err := fault.Wrong("options.ports", "must be a list of ports").Because(errors.New("secret cause"))
	w := httptest.NewRecorder()
	problem.From(problem.Scan, "r1", err).Write(w)
	if w.Code != http.StatusBadRequest || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s", w.Code, w.Header().Get("Content-Type"))
	}
	want := map[string]any{
		"success": false, "error": "the request is well-formed but wrong", "code": "VALIDATION_ERROR",
		"errors": []any{map[string]any{"location": "options.ports", "message": "must be a list of ports"}},
	}
	if diff := cmp.Diff(want, decode(t, w.Body.Bytes())); diff != "" {
		t.Error(diff)
	}
}

func TestOtherFamiliesAnswerWithProblemDetails(t *testing.T) {
	t.Parallel()
	err := fault.New(fault.Exhausted, fault.CodeRateLimit, "the minute window is used up").After(1500 * time.Millisecond)
	w := httptest.NewRecorder()
	problem.From(problem.Vault, "r1", err).Write(w)
	if got := w.Header().Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q, want 2", got)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Error(got)
	}
	want := map[string]any{
		"title": "Too Many Requests", "status": 429.0, "detail": "the minute window is used up",
		"instance": "urn:assay:request:r1", "error": "Too Many Requests", "code": "RATE_LIMIT_EXCEEDED",
	}
	if diff := cmp.Diff(want, decode(t, w.Body.Bytes())); diff != "" {
		t.Error(diff)
	}
}

func TestAPlainErrorTellsNothing(t *testing.T) {
	t.Parallel()
	for _, family := range families() {
		w := httptest.NewRecorder()
		problem.From(family, "", errors.New("open /var/secret: no such file")).Write(w)
		if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %d %s", family, w.Code, w.Body)
		}
	}
}

func TestTransportFaultsKeepTheirStatusInEveryFamily(t *testing.T) {
	t.Parallel()
	for _, family := range families() {
		for err, want := range map[error]int{
			problem.Malformed("body", "is not JSON"): 400, problem.TooLarge(): 413, problem.MediaType("x"): 415,
			problem.UnknownRoute(): 404, problem.WrongMethod("GET"): 405, problem.Timeout(): 408,
		} {
			if got := problem.Status(family, err); got != want {
				t.Errorf("%s %v: %d, want %d", family, err, got, want)
			}
		}
	}
	w := httptest.NewRecorder()
	problem.From(problem.Scan, "", problem.WrongMethod("GET, HEAD")).Write(w)
	if w.Header().Get("Allow") != "GET, HEAD" {
		t.Error("Allow is lost")
	}
}

func TestLocationNeverRepeatsWhatIsntAName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"body.options.ports":              "body.options.ports",
		"body.items[3].tag-name_x":        "body.items[3].tag-name_x",
		"body.<script>.x":                 "body.?.x",
		"query.hunter 2":                  "query.?",
		"":                                "?",
		"body." + strings.Repeat("a", 65): "body.?",
		"body..x":                         "body..x",
	} {
		if got := problem.Location(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		got := problem.Location(rapid.String().Draw(t, "path"))
		if strings.Trim(got, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.[]-?") != "" {
			t.Fatalf("unsafe location %q", got)
		}
	})
}

func TestValidatorsMessagesPassWithoutTheirInput(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"expected length <= 20":                                 "expected length <= 20",
		"expected string to be RFC 3986 uri: parse \"hunter2\"": "expected string to be RFC 3986 uri",
		"expected value to be one of \"a, b\"":                  "expected value to be one of \"a, b\"",
		"json: cannot unmarshal number 1e999 into Go value":     "is not valid",
		"invalid value: hunter2":                                "invalid value",
		"invalid integer":                                       "invalid integer",
	} {
		if got := problem.SafeMessage(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestFamilyOfUnmatchedPaths(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]problem.Family{
		"/scan-api/api/v1/nothing": problem.Scan, "/scan-api": problem.Scan, "/scan-apix": problem.Platform,
		"/api/nothing": problem.Platform, "/": problem.Platform, "": problem.Platform,
	} {
		if got := problem.FamilyOf(path); got != want {
			t.Errorf("%q: %s, want %s", path, got, want)
		}
	}
}

func decode(t *testing.T, b []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

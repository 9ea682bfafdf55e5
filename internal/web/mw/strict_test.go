package mw_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/fault"
)

func TestAmbiguousBodiesAreRefusedByPlace(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`[`, 65) + strings.Repeat(`]`, 65)
	many := `{` + strings.Repeat(`"%":1,`, 0)
	for i := range 40 {
		many += fmt.Sprintf("%q:1,", fmt.Sprintf("k%d", i))
	}
	many += `"K7":2}`
	for body, where := range map[string]string{
		`{"name":"a","name":"b"}`:                  "body.name",
		`{"name":"a","NAME":"b"}`:                  "body.NAME",
		`{"k":1,"\u212a":2}`:                       "body.?", // the Kelvin sign folds to k
		`{"s":1,"ſ":2}`:                            "body.?", // the long s folds to s
		`{"a":{"x":1,"b":[1,{"c":1,"\u0063":2}]}}`: "body.a.b[1].?",
		many:                     "body.K7",
		deep:                     "body" + strings.Repeat("[0]", 64),
		`{"a":1} x`:              "body",
		`{"a":1}{}`:              "body",
		`{"a":"` + "\xff" + `"}`: "body.a",
		`{"a":"\ud800"}`:         "body.a",
		`{"a":"\udc00\ud800"}`:   "body.a",
		`{"a":"\ud800\u0041"}`:   "body.a",
		"{\"a\":\"\x01\"}":       "body.a",
		`{"a":01}`:               "body.a",
		`{"a":1.}`:               "body.a",
		`{"a":+1}`:               "body.a",
		`{"a":NaN}`:              "body.a",
		`{"a":1,}`:               "body.a",
		`[1,]`:                   "body[0]",
		`[1 2]`:                  "body[0]",
		`{"a" 1}`:                "body.a",
		`{a:1}`:                  "body",
		`{"hunter2 <b>":tru}`:    "body.?",
		``:                       "body",
		`   `:                    "body",
		`{`:                      "body",
		`{"a":"x`:                "body.a",
		`"\x"`:                   "body",
		"\xef\xbb\xbf{}":         "body",
	} {
		err := mw.CheckJSON([]byte(body))
		if err == nil {
			t.Errorf("%.60q passed", body)
			continue
		}
		f := fault.Of(err)
		if f.Code != fault.CodeValidation || problem.Status(problem.Vault, err) != 400 || len(f.Fields) != 1 {
			t.Errorf("%.60q: %v", body, err)
			continue
		}
		if got := f.Fields[0].Location; got != where && strings.Count(where, "[0]") < 60 {
			t.Errorf("%.60q: at %s, want %s", body, got, where)
		}
	}
}

func TestPlainBodiesPass(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":`, 64) + `1` + strings.Repeat(`}`, 64)
	for _, body := range []string{
		`{}`, `[]`, `null`, `true`, `-0.5e+10`, `""`, ` { "a" : [ 1 , 2 , { } ] } `, deep,
		`{"a":"\ud83d\ude00","b":"😀","c":"\n\t\/\\\""}`, `{"a":{"x":1},"b":{"x":1}}`, `[{"a":1},{"a":1}]`,
	} {
		if err := mw.CheckJSON([]byte(body)); err != nil {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestWhatAnEncoderWritesPasses(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.MapOf(rapid.StringMatching(`[a-z]{1,6}[0-9]{0,3}`), rapid.OneOf(
			rapid.Just[any](nil), rapid.Float64Range(-1e9, 1e9).AsAny(), rapid.String().AsAny(), rapid.SliceOf(rapid.Int()).AsAny(),
		)).Draw(t, "m")
		b, err := json.Marshal(m)
		if err != nil {
			t.Skip()
		}
		if err := mw.CheckJSON(b); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
	})
}

func FuzzCheckJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"A":2}`, `[1,[2]]`, `"\ud83d\ude00"`, `{"a":"\u0041"}`, "\xff", `{"\`, `"\u12`, `{"\u0`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if mw.CheckJSON(b) != nil {
			return
		}
		// What passes is JSON to the decoder too, and reads back as the same number of members at the top.
		var v any
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%q passed and is not JSON: %v", b, err)
		}
		if dec.More() {
			t.Fatalf("%q passed with data after its end", b)
		}
	})
}

func BenchmarkCheckJSON(b *testing.B) {
	body := []byte(`{"name":"host 1234","kind":"host","note":"` + strings.Repeat("x", 200) + `","tags":["a","b"],"attributes":{"os":"linux","zone":3}}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := mw.CheckJSON(body); err != nil {
			b.Fatal(err)
		}
	}
}

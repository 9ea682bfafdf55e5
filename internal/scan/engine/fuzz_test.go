package engine

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/word/fault"
)

// wellFormed checks that a refusal is one for the caller, with places that nothing can be smuggled through.
func wellFormed(t *testing.T, parent string, err error) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Invalid || len(f.Fields) == 0 || len(f.Fields) > maxWrong {
		t.Fatalf("refused as %v", err)
	}
	for _, x := range f.Fields {
		name, named := strings.CutPrefix(x.Location, parent+".")
		if x.Message == "" || len(name) > 64 || (!named && x.Location != parent) ||
			(named && strings.ContainsFunc(name, func(r rune) bool { return r > 'z' || (!isAlnum(byte(r)) && r != '_' && r != '-') })) {
			t.Errorf("a field at %q says %q", x.Location, x.Message)
		}
	}
}

func FuzzParseOptions(f *testing.F) {
	for _, s := range []string{
		`{"deep":true,"ports":"443,80","low":2,"high":3,"sets":["c","a"],"except":["10.1.0.0/24","::1"]}`,
		`{"low":9,"high":3}`, `{"sets":["a","a"]}`, `{"except":["10.0.0.1"]}`, `{"topPorts":1e1}`, `{"<x>":1}`, `{"deep":null}`, `{"ports":"1-65535,2"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		var given map[string]json.RawMessage
		if json.Unmarshal([]byte(in), &given) != nil {
			return
		}
		o, err := ParseOptions(sample(), given, Capabilities{NetRaw})
		if err != nil {
			wellFormed(t, "options", err)
			return
		}
		// What was taken is within its declaration, and written down by its values it reads the same again.
		for name := range given {
			if !o.Has(name) {
				t.Errorf("%s was given and is gone", name)
			}
		}
		if n := o.Int("topPorts"); n < 1 || n > 100 || (o.Has("high") && o.Int("low") > o.Int("high")) || len(o.Set("sets")) > 2 || len(o.Targets("except")) > 2 {
			t.Errorf("out of bounds: %v", o)
		}
		again := map[string]json.RawMessage{}
		for name := range given {
			v := o[name]
			switch x := v.(type) {
			case Ports:
				v = x.String()
			case []asset.Target:
				texts := make([]string, len(x))
				for i := range x {
					texts[i] = x[i].String()
				}
				v = texts
			}
			if again[name], err = json.Marshal(v); err != nil {
				t.Fatal(err)
			}
		}
		p, err := ParseOptions(sample(), again, Capabilities{NetRaw})
		if err != nil {
			t.Fatalf("%s reads as %v, whose values %s are refused: %v", in, o, again, err)
		}
		text := func(o Options) string {
			return o.Ports("ports").String() + " " + strings.Join(o.Set("sets"), ",") + " " + o.Text("timing")
		}
		if text(o) != text(p) || !slices.EqualFunc(o.Targets("except"), p.Targets("except"), func(a, b asset.Target) bool { return a.String() == b.String() }) {
			t.Errorf("%s reads as %v and then as %v", in, o, p)
		}
	})
}

func FuzzParseConfig(f *testing.F) {
	for _, s := range []string{
		`{"rateLimit":50,"maxParallelism":4,"userAgent":"assay/1","headers":{"X-B":"s3cret-value","Authorization":"Bearer x"},"authentication":{"type":"basic","password":"p"}}`,
		`{"headers":{"X-A":"a\r\nB: 1"}}`, `{"headers":{"X-A":"1","x-a":"2"}}`, `{"userAgent":"--x"}`, `{"authentication":[]}`, `{"proxy":1}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		var given map[string]json.RawMessage
		if json.Unmarshal([]byte(in), &given) != nil {
			return
		}
		c, err := ParseConfig(sample(), given)
		if err != nil {
			wellFormed(t, "config", err)
			return
		}
		if len(c.Headers) > MaxHeaders || len(c.UserAgent) > MaxUserAgent || c.RateLimit > MaxRateLimit || c.MaxParallelism > MaxParallelism {
			t.Errorf("out of bounds: %+v", c)
		}
		masked := map[string]any{}
		for _, h := range c.Headers {
			if v := h.Value.Reveal(); strings.ContainsAny(h.Name+v, "\r\n\x00") || strings.ContainsAny(h.Name, ": ") || reserved(h.Name) {
				t.Errorf("a request would be split by %q: %q", h.Name, v)
			}
			masked[h.Name] = mask
		}
		if strings.ContainsAny(c.UserAgent, "\r\n\x00") || strings.HasPrefix(c.UserAgent, "-") {
			t.Errorf("user agent %q", c.UserAgent)
		}
		shown := c.Masked()
		if len(masked) > 0 {
			if diff := cmp.Diff(any(masked), shown["headers"]); diff != "" {
				t.Errorf("header values are shown: %s", diff)
			}
		}
		if a, given := shown["authentication"]; given && a != mask {
			t.Errorf("authentication is shown: %v", a)
		}
	})
}

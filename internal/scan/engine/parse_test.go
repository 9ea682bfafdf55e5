package engine

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/word/fault"
)

func sample() Manifest {
	return Manifest{
		ID: "sample", Title: "Sample",
		Config: []ConfigField{ConfigRateLimit, ConfigMaxParallelism, ConfigUserAgent, ConfigHeaders, ConfigAuthentication},
		Options: []Option{
			{Name: "deep", Type: TypeBool, Default: false, Needs: NetRaw},
			{Name: "ports", Type: TypePorts, Excludes: []string{"topPorts"}},
			{Name: "topPorts", Type: TypeInt, Min: 1, Max: 100, Default: int64(10)},
			{Name: "low", Type: TypeInt, Min: 1, Max: 100, NotAbove: "high"},
			{Name: "high", Type: TypeInt, Min: 1, Max: 100},
			{Name: "timing", Type: TypeEnum, Enum: []string{"T0", "T1"}, Default: "T1", ValueNeeds: map[string]string{"T0": NetRaw}},
			{Name: "sets", Type: TypeEnumSet, Enum: []string{"a", "b", "c"}, Max: 2},
			{Name: "except", Type: TypeTargets, Max: 2},
		},
	}
}

func raw(t *testing.T, object string) map[string]json.RawMessage {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestOptionsAreTypedAndDefaulted(t *testing.T) {
	o, err := ParseOptions(sample(), raw(t, `{"deep":true,"ports":"443,80","low":2,"high":3,"sets":["c","a"],"except":["10.1.0.0/24","::1"]}`), Capabilities{NetRaw})
	if err != nil {
		t.Fatal(err)
	}
	if !o.Bool("deep") || o.Ports("ports").String() != "80,443" || o.Int("topPorts") != 10 || o.Text("timing") != "T1" {
		t.Errorf("options = %v", o)
	}
	if diff := cmp.Diff([]string{"a", "c"}, o.Set("sets")); diff != "" {
		t.Error(diff)
	}
	if got := o.Targets("except"); len(got) != 2 || got[0].String() != "10.1.0.0/24" {
		t.Errorf("except = %v", got)
	}
	if o.Has("sets") == false || o.Has("nothing") {
		t.Error("Has is wrong")
	}
}

func TestWrongOptionsAreNamedAndNeverEchoed(t *testing.T) {
	for _, c := range []struct{ in, location string }{
		{`{"nope":1}`, "options.nope"},
		{`{"<script>":1}`, "options"},
		{`{"":1}`, "options"},
		{`{"Ports":"80"}`, "options.Ports"},
		{`{"deep":true}`, "options.deep"},
		{`{"deep":"true"}`, "options.deep"},
		{`{"deep":null}`, "options.deep"},
		{`{"ports":80}`, "options.ports"},
		{`{"ports":"CANARY"}`, "options.ports"},
		{`{"ports":"80","topPorts":5}`, "options.ports"},
		{`{"topPorts":0}`, "options.topPorts"},
		{`{"topPorts":101}`, "options.topPorts"},
		{`{"topPorts":1.0}`, "options.topPorts"},
		{`{"topPorts":1e1}`, "options.topPorts"},
		{`{"topPorts":"10"}`, "options.topPorts"},
		{`{"topPorts":99999999999999999999}`, "options.topPorts"},
		{`{"low":9,"high":3}`, "options.low"},
		{`{"timing":"CANARY"}`, "options.timing"},
		{`{"timing":"T0"}`, "options.timing"},
		{`{"sets":["a","a"]}`, "options.sets"},
		{`{"sets":["a","b","c"]}`, "options.sets"},
		{`{"sets":"a"}`, "options.sets"},
		{`{"sets":[null]}`, "options.sets"},
		{`{"except":["CANARY.example.org"]}`, "options.except"},
		{`{"except":["10.0.0.1","10.0.0.1"]}`, "options.except"},
		{`{"except":["10.0.0.1","10.0.0.2","10.0.0.3"]}`, "options.except"},
	} {
		_, err := ParseOptions(sample(), raw(t, c.in), nil)
		checkWrong(t, c.in, err, c.location)
	}
}

func checkWrong(t *testing.T, in string, err error, location string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Invalid || f.Code != fault.CodeValidation {
		t.Errorf("%s: %v, want VALIDATION_ERROR", in, err)
		return
	}
	if !slices.ContainsFunc(f.Fields, func(x fault.Field) bool { return x.Location == location }) {
		t.Errorf("%s: fields %v, want one at %s", in, f.Fields, location)
	}
	for _, x := range f.Fields {
		if strings.Contains(x.Message+x.Location, "CANARY") || strings.Contains(x.Location, "<") {
			t.Errorf("%s: %v repeats what was sent", in, x)
		}
	}
}

func TestManyWrongOptionsAreBounded(t *testing.T) {
	many := map[string]json.RawMessage{}
	for i := range 500 {
		many["x"+strings.Repeat("y", i%60)+string(rune('a'+i%26))] = json.RawMessage("1")
	}
	var f *fault.Error
	if _, err := ParseOptions(sample(), many, nil); !errors.As(err, &f) || len(f.Fields) != maxWrong {
		t.Errorf("got %v", f)
	}
}

func TestConfigIsParsedAndMasked(t *testing.T) {
	c, err := ParseConfig(sample(), raw(t, `{"rateLimit":50,"maxParallelism":4,"userAgent":"assay/1","headers":{"X-B":"CANARY","Authorization":"Bearer CANARY"},"authentication":{"type":"basic","password":"CANARY"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.RateLimit != 50 || c.MaxParallelism != 4 || c.Headers[0].Name != "Authorization" || c.Headers[1].Value.Reveal() != "CANARY" ||
		!strings.Contains(c.Authentication.Reveal(), `"basic"`) {
		t.Errorf("config = %+v", c)
	}
	b, err := json.Marshal(c.Masked())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"authentication":"[redacted]","headers":{"Authorization":"[redacted]","X-B":"[redacted]"},"maxParallelism":4,"rateLimit":50,"userAgent":"assay/1"}`
	if string(b) != want {
		t.Errorf("masked = %s", b)
	}
	if b, _ := json.Marshal(Config{}.Masked()); string(b) != "{}" {
		t.Errorf("empty config masked = %s", b)
	}
}

func TestWrongConfigIsNamed(t *testing.T) {
	for _, c := range []struct{ in, location string }{
		{`{"proxy":"http://CANARY"}`, "config.proxy"},
		{`{"rateLimit":0}`, "config.rateLimit"},
		{`{"rateLimit":1000000}`, "config.rateLimit"},
		{`{"maxParallelism":"4"}`, "config.maxParallelism"},
		{`{"userAgent":"a\r\nCANARY: 1"}`, "config.userAgent"},
		{`{"userAgent":"--CANARY"}`, "config.userAgent"},
		{`{"headers":{"Host":"CANARY"}}`, "config.headers"},
		{`{"headers":{"transfer-encoding":"chunked"}}`, "config.headers"},
		{`{"headers":{"X-A":"a\r\nCANARY: 1"}}`, "config.headers"},
		{`{"headers":{"CANARY: x":"a"}}`, "config.headers"},
		{`{"headers":{"X-A":"1","x-a":"2"}}`, "config.headers"},
		{`{"headers":["X-A: 1"]}`, "config.headers"},
		{`{"authentication":"CANARY"}`, "config.authentication"},
	} {
		_, err := ParseConfig(sample(), raw(t, c.in))
		checkWrong(t, c.in, err, c.location)
	}
	_, err := ParseConfig(Manifest{}, raw(t, `{"rateLimit":1}`))
	checkWrong(t, "unsupported", err, "config.rateLimit")
}

func TestSchemaFollowsTheManifest(t *testing.T) {
	b, err := json.Marshal(sample().Schema())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"additionalProperties":false`, `"default":10`, `"enum":["T0","T1"]`, `"x-needs":"net_raw"`, `"maximum":100`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("schema lacks %s: %s", want, b)
		}
	}
	if c := sample().ConfigSchema(); len(c["properties"].(map[string]any)) != 5 {
		t.Errorf("config schema = %v", c)
	}
}

func TestOwnListenersAreSpared(t *testing.T) {
	target, err := asset.ParseTarget("192.0.2.0/30", "")
	if err != nil {
		t.Fatal(err)
	}
	r := Request{Target: target, Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Excluded: []netip.AddrPort{
		netip.MustParseAddrPort("192.0.2.1:8443"), netip.MustParseAddrPort("198.51.100.1:22"), netip.MustParseAddrPort("[::ffff:127.0.0.1]:80"),
	}}
	if diff := cmp.Diff([]int{80, 8443}, r.SparedPorts()); diff != "" {
		t.Error(diff)
	}
	if !r.Spares(netip.MustParseAddrPort("127.0.0.1:80")) || r.Spares(netip.MustParseAddrPort("127.0.0.1:8443")) {
		t.Error("Spares is wrong")
	}
	r.Excluded = []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:9")}
	if !r.Spares(netip.MustParseAddrPort("203.0.113.5:9")) {
		t.Error("a listener on all addresses must be spared on all")
	}
}

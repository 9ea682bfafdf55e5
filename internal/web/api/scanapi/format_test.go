package scanapi

import (
	"mime"
	"testing"

	"pgregory.net/rapid"
)

func TestAcceptIsWeighed(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]string{
		"": "json", "*/*": "json", "application/*": "json", "text/*": "html", "text/csv": "csv", "TEXT/CSV": "csv", "nonsense": "json",
		"text/csv;q=0": "json", "text/csv;q=0.5, text/html": "html", "text/html;q=0.5, text/csv;q=0.6": "csv",
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": "html", "*/*, text/csv": "csv", "text/csv, application/sarif+json": "csv",
		"application/sarif+json, text/csv": "sarif", "application/json;q=0, */*": "html", "application/vnd.cyclonedx+json; version=1.6": "cyclonedx",
		"application/octet-stream": "raw", "text/csv;q=2": "csv", "text/csv;q=x, text/html;q=0.9": "csv", ",,;": "json",
		"application/json;q=0.1, text/*;q=0.2, text/html;q=0.05": "csv",
	} {
		f, err := negotiate("", accept, formats())
		if err != nil || f.name != want {
			t.Errorf("%q: %s, %v; want %s", accept, f.name, err, want)
		}
	}
	if f, err := negotiate("csv", "text/html", formats()); err != nil || f.name != "csv" {
		t.Error("the query doesn't win")
	}
	if _, err := negotiate("pdf", "text/html", formats()); err == nil {
		t.Error("pdf was taken")
	}
	if name, err := formatOf("html", ""); err == nil {
		t.Error("a comparison has no form", name)
	}
}

func TestAnAcceptAlwaysGetsAFormAndASafeName(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f, err := negotiate("", rapid.String().Draw(t, "accept"), formats())
		if err != nil || f.name == "" {
			t.Fatalf("%+v, %v", f, err)
		}
		kind, params, err := mime.ParseMediaType(f.disposition("nmap", "01900000-0000-7000-8000-000000000001"))
		if err != nil || (kind == "inline") != (f.name == "html") || params["filename"] == "" {
			t.Fatalf("%s %v %v", kind, params, err)
		}
	})
}

func FuzzNegotiate(f *testing.F) {
	f.Add("text/html;q=0.9, */*;q=0.1")
	f.Add("a/b;q=1e9,\x00")
	f.Fuzz(func(t *testing.T, accept string) {
		if _, err := negotiate("", accept, formats()); err != nil {
			t.Fatal(err)
		}
	})
}

package sublist3r

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"

	"assay.dev/assay/internal/scan/engine"
)

// source is one third party and how it is asked.
type source struct {
	engine.Source

	builtin bool   // the built-in backend asks it
	label   string // how the original program names it in its output; empty = it doesn't ask it
	option  string // how the original program's -e names it
	path    string // below the URL; {domain} stands for the escaped domain
	query   func(domain, after string) url.Values
	// read tells every name of one answer, as the source wrote it, and returns what to ask for next, "" at the end.
	read func(body io.Reader, tell func(string)) (after string, err error)
	// empty are status codes beside 200 that carry an answer.
	also []int
}

// sources lists them. All answer without a key.
func sources() []source {
	q := func(name, before string) func(string, string) url.Values {
		return func(domain, _ string) url.Values { return url.Values{name: {before + domain}} }
	}
	return []source{
		{
			Source:  engine.Source{ID: "crtsh", Title: "crt.sh (certificate transparency)", URL: "https://crt.sh"},
			builtin: true, label: "SSL Certificates", option: "ssl", path: "/", read: readCrtSh,
			query: func(domain, _ string) url.Values {
				return url.Values{"q": {"%." + domain}, "output": {"json"}, "deduplicate": {"Y"}}
			},
		},
		{
			Source:  engine.Source{ID: "certspotter", Title: "Cert Spotter (certificate transparency)", URL: "https://api.certspotter.com"},
			builtin: true, path: "/v1/issuances", read: readCertSpotter,
			query: func(domain, after string) url.Values {
				v := url.Values{"domain": {domain}, "include_subdomains": {"true"}, "expand": {"dns_names"}}
				if after != "" {
					v.Set("after", after)
				}
				return v
			},
		},
		{
			Source:  engine.Source{ID: "hackertarget", Title: "HackerTarget (host search)", URL: "https://api.hackertarget.com"},
			builtin: true, path: "/hostsearch/", query: q("q", ""), read: readHackerTarget,
		},
		{
			Source:  engine.Source{ID: "otx", Title: "AlienVault OTX (passive DNS)", URL: "https://otx.alienvault.com"},
			builtin: true, path: "/api/v1/indicators/domain/{domain}/passive_dns", read: readOTX,
		},
		{
			Source:  engine.Source{ID: "anubis", Title: "AnubisDB (collected names)", URL: "https://anubisdb.com"},
			builtin: true, path: "/anubis/subdomains/{domain}", read: readList, also: []int{300}, // how it says that it knows none
		},
		{
			Source:  engine.Source{ID: "subdomaincenter", Title: "Subdomain Center (collected names)", URL: "https://api.subdomain.center"},
			builtin: true, path: "/", query: q("domain", ""), read: readList,
		},
		{Source: engine.Source{ID: "passivedns", Title: "Sublist3r's own passive DNS", URL: "https://api.sublist3r.com"}, label: "PassiveDNS", option: "passivedns"},
		{Source: engine.Source{ID: "threatcrowd", Title: "ThreatCrowd", URL: "https://www.threatcrowd.org"}, label: "ThreatCrowd", option: "threatcrowd"},
	}
}

func sourceList() []engine.Source {
	var out []engine.Source
	for _, s := range sources() {
		out = append(out, s.Source)
	}
	return out
}

func builtinNames() []string {
	return namesOf(func(s source) bool { return s.builtin })
}

func programNames() []string {
	return namesOf(func(s source) bool { return s.option != "" })
}

func namesOf(which func(source) bool) []string {
	var out []string
	for _, s := range sources() {
		if which(s) {
			out = append(out, s.ID)
		}
	}
	return out
}

// address returns what to ask about the domain.
func (s source) address(domain, after string) (*url.URL, error) {
	u, err := url.Parse(s.URL + strings.ReplaceAll(s.path, "{domain}", url.PathEscape(domain)))
	if err == nil && s.query != nil {
		u.RawQuery = s.query(domain, after).Encode()
	}
	return u, err
}

// errOver says that a source refused because it was asked too often.
var errOver = errors.New("the source counts too many requests")

// readCrtSh reads [{"common_name":"…","name_value":"a\nb"}].
func readCrtSh(body io.Reader, tell func(string)) (string, error) {
	return "", each(body, func(dec *json.Decoder) error {
		var one struct {
			Common string `json:"common_name"`
			Names  string `json:"name_value"`
		}
		if err := dec.Decode(&one); err != nil {
			return err
		}
		tell(one.Common)
		for name := range strings.SplitSeq(one.Names, "\n") {
			tell(name)
		}
		return nil
	})
}

// readCertSpotter reads [{"id":"7","dns_names":["…"]}], which goes on after the last id until an answer is empty.
func readCertSpotter(body io.Reader, tell func(string)) (after string, err error) {
	err = each(body, func(dec *json.Decoder) error {
		var one struct {
			ID    string   `json:"id"`
			Names []string `json:"dns_names"`
		}
		if err := dec.Decode(&one); err != nil {
			return err
		}
		after = one.ID
		for _, name := range one.Names {
			tell(name)
		}
		return nil
	})
	return after, err
}

// readList reads ["…"].
func readList(body io.Reader, tell func(string)) (string, error) {
	return "", each(body, func(dec *json.Decoder) error {
		var name string
		if err := dec.Decode(&name); err != nil {
			return err
		}
		tell(name)
		return nil
	})
}

// readOTX reads {"passive_dns":[{"hostname":"…"}]}.
func readOTX(body io.Reader, tell func(string)) (string, error) {
	dec := json.NewDecoder(body)
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return "", unexpected(err)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return "", err
		}
		if key != "passive_dns" {
			var skipped json.RawMessage
			if err := dec.Decode(&skipped); err != nil {
				return "", err
			}
			continue
		}
		return "", array(dec, func(dec *json.Decoder) error {
			var one struct {
				Host string `json:"hostname"`
			}
			if err := dec.Decode(&one); err != nil {
				return err
			}
			tell(one.Host)
			return nil
		})
	}
	return "", unexpected(nil)
}

// readHackerTarget reads "name,address" lines. Its errors are lines, too, under status 200.
func readHackerTarget(body io.Reader, tell func(string)) (string, error) {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 4<<10), 64<<10)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		name, _, found := strings.Cut(line, ",")
		lower := strings.ToLower(line)
		switch {
		case found:
			tell(name)
		case strings.HasPrefix(lower, "api count exceeded"):
			return "", errOver
		case strings.HasPrefix(lower, "no dns a records"), strings.HasPrefix(lower, "no records"), line == "":
		default:
			return "", unexpected(nil)
		}
	}
	return "", lines.Err()
}

// each reads a JSON array element by element.
func each(body io.Reader, element func(*json.Decoder) error) error {
	return array(json.NewDecoder(body), element)
}

func array(dec *json.Decoder, element func(*json.Decoder) error) error {
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return unexpected(err)
	}
	for dec.More() {
		if err := element(dec); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

// unexpected is the error of an answer that isn't what the source promises.
func unexpected(cause error) error {
	return errors.Join(errors.New("the answer has another form"), cause)
}

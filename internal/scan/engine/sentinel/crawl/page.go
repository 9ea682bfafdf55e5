package crawl

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Bounds of one page.
const (
	maxLinks  = 300
	maxForms  = 20
	maxFields = 30
)

// page is what one answer linked to.
type page struct {
	status int
	links  []*url.URL
	forms  []form
}

// form is one form, as a browser would send it untouched.
type form struct {
	action   *url.URL
	post     bool
	password bool
	token    bool // a hidden field that looks like a protection against forged requests
	fields   []field
}

type field struct {
	name, value, kind string
}

func (f form) method() string {
	if f.post {
		return http.MethodPost
	}
	return http.MethodGet
}

func (f form) names() []string {
	var out []string
	for _, x := range f.fields {
		out = append(out, clip(x.name, 40))
	}
	return out
}

func (f form) values() url.Values {
	v := url.Values{}
	for _, x := range f.fields {
		v.Add(x.name, x.value)
	}
	return v
}

// url is where a form with method GET leads when it is sent as it is.
func (f form) url() *url.URL {
	u := *f.action
	u.RawQuery = f.values().Encode()
	return &u
}

func isHTML(a Answer) bool {
	t := strings.ToLower(a.Header.Get("Content-Type"))
	return strings.Contains(t, "html") || t == "" && bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("<"))
}

// readPage reads links and forms of a page. It is pure and takes any bytes.
func readPage(body []byte, at *url.URL) (links []*url.URL, forms []form) {
	z := html.NewTokenizer(bytes.NewReader(body))
	z.SetMaxBuf(64 << 10)
	base := at
	var open *form
	link := func(text string) {
		if u := resolve(base, text); u != nil && len(links) < maxLinks {
			links = append(links, u)
		}
	}
	done := func() {
		if open != nil && open.action != nil && len(forms) < maxForms {
			forms = append(forms, *open)
		}
		open = nil
	}
	for {
		switch z.Next() {
		case html.ErrorToken:
			done()
			return links, forms
		case html.EndTagToken:
			if name, _ := z.TagName(); atom.Lookup(name) == atom.Form {
				done()
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			switch t.DataAtom { //nolint:exhaustive // all other elements lead nowhere
			case atom.A, atom.Area:
				link(attribute(t, "href"))
			case atom.Iframe, atom.Frame:
				link(attribute(t, "src"))
			case atom.Base:
				if u := resolve(base, attribute(t, "href")); u != nil {
					base = u
				}
			case atom.Form:
				done()
				open = &form{action: resolve(base, attribute(t, "action")), post: strings.EqualFold(attribute(t, "method"), "post")}
				if attribute(t, "action") == "" {
					c := *at
					open.action = &c
				}
			case atom.Input, atom.Textarea, atom.Select, atom.Button:
				if open != nil {
					open.add(t)
				}
			}
		case html.TextToken, html.CommentToken, html.DoctypeToken:
		}
	}
}

func (f *form) add(t html.Token) {
	x := field{name: attribute(t, "name"), value: attribute(t, "value"), kind: strings.ToLower(attribute(t, "type"))}
	if x.kind == "password" {
		f.password = true
	}
	low := strings.ToLower(x.name)
	for _, word := range []string{"csrf", "xsrf", "token", "nonce", "authenticity", "__requestverification", "__viewstate"} {
		f.token = f.token || x.kind == "hidden" && strings.Contains(low, word)
	}
	if x.name == "" || len(x.name) > 128 || len(x.value) > 512 || len(f.fields) == maxFields || x.kind == "file" || x.kind == "image" || t.DataAtom == atom.Button {
		return
	}
	f.fields = append(f.fields, x)
}

func attribute(t html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// resolve returns an absolute http(s) URL, nil where the text is none.
func resolve(base *url.URL, text string) *url.URL {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > 2048 || text[0] == '#' {
		return nil
	}
	u, err := base.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "" {
		return nil
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u
}

// shape tells pages apart that are worth a visit each: the path and the names of the parameters. Values don't count,
// so that a calendar isn't walked to its end.
func shape(u *url.URL) string {
	var names []string
	for name := range u.Query() {
		names = append(names, name)
	}
	slices.Sort(names)
	return u.Path + "?" + strings.Join(names, "&")
}

// point is one parameter of one place, with the values that its link had.
type point struct {
	at    *url.URL // without query
	query url.Values
	name  string
}

func (p point) key() string { return p.at.Path + "\x00" + p.name }

func (p point) value() string { return p.query.Get(p.name) }

// with is the place with another value of the parameter.
func (p point) with(value string) *url.URL {
	q := url.Values{}
	for k, v := range p.query {
		q[k] = slices.Clone(v)
	}
	q.Set(p.name, value)
	u := *p.at
	u.RawQuery = q.Encode()
	return &u
}

// pointsOf are the parameters of a link, sorted.
func pointsOf(u *url.URL) []point {
	query := u.Query()
	var out []point
	for name := range query {
		if name == "" || len(name) > 128 || len(out) == maxFields {
			continue
		}
		at := *u
		at.RawQuery, at.ForceQuery = "", false
		out = append(out, point{at: &at, query: query, name: name})
	}
	slices.SortFunc(out, func(a, b point) int { return strings.Compare(a.name, b.name) })
	return out
}

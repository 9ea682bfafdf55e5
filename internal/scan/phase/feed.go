package phase

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/uid"
)

// maxRead bounds the results of one child that later phases are fed from.
const maxRead = 20_000

// Extent is what an order covers. A place outside of it is never looked at on the word of a result, also where the
// organization's scope would allow it.
type Extent struct {
	Root  asset.Target
	Addrs []netip.Addr // what its name resolves to, each allowed by scope
}

// Holds returns the host as the order knows it, and whether it lies within the order: the order's own host by name or
// address, an address of its network, its domain and what is below it. An address of a target given by name is the name.
func (e Extent) Holds(host string) (string, bool) {
	host = finding.CanonicalHost(host)
	addr, err := netip.ParseAddr(host)
	isAddr := err == nil && addr.Zone() == ""
	own := e.Root.Host()
	switch {
	case host == "":
		return "", false
	case isAddr && e.Root.Network().IsValid():
		return host, e.Root.Network().Contains(addr)
	case isAddr && e.Root.Addr().IsValid():
		return host, addr == e.Root.Addr()
	case isAddr:
		return own, own != "" && slices.ContainsFunc(e.Addrs, func(a netip.Addr) bool { return a.Unmap() == addr })
	case own == "":
		return "", false
	case e.Root.Type() == asset.TypeDomain && strings.HasSuffix(host, "."+own):
		return host, true
	}
	return host, host == own
}

// Feed is what results name that later phases can look at, in a stable order, each a canonical target within the extent.
type Feed struct {
	Origins []string // "http://host:port/"
	Pages   []string // URLs with parameters
	Names   []string // below the order's domain

	extent Extent
	known  map[string]bool
}

// NewFeed returns an empty feed. Of an order for a URL its own is the first origin.
func NewFeed(e Extent) *Feed {
	f := &Feed{extent: e, known: map[string]bool{}}
	if u := e.Root.URL(); u != nil {
		f.Origins = append(f.Origins, e.Root.String())
		if strings.Contains(u.RawQuery, "=") {
			f.page(u)
		}
	}
	return f
}

// Result takes what one result names. Only its location counts, never its texts.
func (f *Feed) Result(r scan.Result) {
	at := r.Location
	if at.URL == "" {
		return
	}
	u := f.url(at.URL)
	if u == nil {
		return
	}
	f.origin(u)
	if at.Parameter != "" && (at.Method == "" || strings.EqualFold(at.Method, "GET")) && u.Query().Get(at.Parameter) == "" {
		q := u.Query()
		q.Set(at.Parameter, "1")
		u.RawQuery = q.Encode()
	}
	if strings.Contains(u.RawQuery, "=") {
		f.page(u)
	}
}

// Asset takes what one asset names.
func (f *Feed) Asset(o asset.Observation) {
	switch o.Kind {
	case asset.KindURL:
		if u := f.url(o.Name); u != nil {
			f.origin(u)
			if strings.Contains(u.RawQuery, "=") {
				f.page(u)
			}
		}
	case asset.KindService:
		f.service(o)
	case asset.KindDomain, asset.KindHost:
		f.name(o.Name)
	case asset.KindRepository, asset.KindImage, asset.KindVault, asset.KindSecret, asset.KindKey, asset.KindCertificate, asset.KindApp, asset.KindCloud:
	}
}

// service takes "host:port/tcp" where it speaks HTTP.
func (f *Feed) service(o asset.Observation) {
	var is struct {
		Service string `json:"service"`
		Tunnel  string `json:"tunnel"`
		TLS     string `json:"tls"`
	}
	if json.Unmarshal(o.Attributes, &is) != nil {
		return
	}
	place, isTCP := strings.CutSuffix(o.Name, "/tcp")
	host, port, err := net.SplitHostPort(place)
	if err != nil || !isTCP {
		return
	}
	scheme := "http"
	switch name := strings.ToLower(is.Service); {
	case name == "https" || name == "https-alt":
		scheme = "https"
	case name != "http" && name != "http-alt" && name != "http-proxy":
		return
	case is.Tunnel == "ssl" || is.TLS == "true":
		scheme = "https"
	}
	if u := f.url(scheme + "://" + net.JoinHostPort(host, port) + "/"); u != nil {
		f.origin(u)
	}
}

// url parses a URL and puts the order's own name for its host into it; nil where it isn't within the order.
func (f *Feed) url(text string) *url.URL {
	t, err := asset.ParseTarget(text, asset.TypeURL)
	if err != nil {
		return nil
	}
	u := t.URL()
	host, ok := f.extent.Holds(u.Hostname())
	if !ok || !f.below(u, t.Port()) {
		return nil
	}
	u.Host = net.JoinHostPort(host, strconv.Itoa(t.Port()))
	u.Fragment, u.RawFragment = "", ""
	return u
}

// below reports whether a URL lies at or below an order's own URL; orders for anything else take any path and port.
func (f *Feed) below(u *url.URL, port int) bool {
	root := f.extent.Root.URL()
	if root == nil {
		return true
	}
	folder := root.Path[:strings.LastIndexByte(root.Path, '/')+1]
	return u.Scheme == root.Scheme && port == f.extent.Root.Port() && strings.HasPrefix(u.Path, folder)
}

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host + "/" }

// maxKept bounds what a feed holds of a kind; what a step takes of it is less, and the rest is counted.
const maxKept = 1_000

func (f *Feed) origin(u *url.URL) {
	if f.extent.Root.Type() != asset.TypeURL { // which is an origin itself
		f.keep(&f.Origins, origin(u))
	}
}

func (f *Feed) page(u *url.URL) { f.keep(&f.Pages, u.String()) }

func (f *Feed) keep(list *[]string, text string) {
	t, err := asset.ParseTarget(text, asset.TypeURL)
	if err != nil || f.known[t.String()] || len(*list) >= maxKept {
		return
	}
	f.known[t.String()] = true
	*list = append(*list, t.String())
}

func (f *Feed) name(name string) {
	own := f.extent.Root
	if own.Type() != asset.TypeDomain || len(f.Names) >= maxKept {
		return
	}
	t, err := asset.ParseTarget(name, asset.TypeDomain)
	if err != nil || t.Host() == own.Host() || f.known[t.String()] {
		return
	}
	if _, ok := f.extent.Holds(t.Host()); ok {
		f.known[t.String()] = true
		f.Names = append(f.Names, t.String())
	}
}

// sorted brings what was found into one order, whichever child told it first.
func (f *Feed) sorted() *Feed {
	slices.Sort(f.Origins)
	slices.Sort(f.Pages)
	slices.Sort(f.Names)
	f.Pages = onePerPage(f.Pages)
	return f
}

// onePerPage keeps one URL for each page and set of parameter names.
func onePerPage(pages []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(pages, func(text string) bool {
		u, err := url.Parse(text)
		if err != nil {
			return true
		}
		names := make([]string, 0, 4)
		for name := range u.Query() {
			names = append(names, name)
		}
		slices.Sort(names)
		key := origin(u) + finding.PathTemplate(u.Path) + "?" + strings.Join(names, "&")
		again := seen[key]
		seen[key] = true
		return again
	})
}

// feed reads what the children of a parent have found so far.
func (s *Service) feed(ctx context.Context, org uid.Org, e Extent, children []scan.Scan) (*Feed, error) {
	f := NewFeed(e)
	for _, c := range children {
		if !c.Status.Terminal() || c.Attempt == 0 {
			continue
		}
		assets, err := s.d.Store.ScanAssets(ctx, org, c.ID)
		if err != nil {
			return nil, err
		}
		for _, o := range assets {
			f.Asset(o)
		}
		n := 0
		err = s.d.Store.EachResult(ctx, org, c.ID, scan.ResultQuery{}, func(r scan.Result) error {
			if n++; n > maxRead {
				return errEnough
			}
			f.Result(r)
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return nil, err
		}
	}
	return f.sorted(), nil
}

var errEnough = errors.New("enough results")

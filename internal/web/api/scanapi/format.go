package scanapi

import (
	"fmt"
	"mime"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/word/fault"
)

// format is one form in which results are given.
type format struct {
	name   string // of the query parameter
	media  string // type/subtype, as Accept names it
	header string // Content-Type
	ending string // of a file name; empty = not a file
	inline bool   // a browser may show it
}

// formats lists them in the order of our own preference.
func formats() []format {
	return []format{
		{name: "json", media: "application/json", header: "application/json"},
		{name: "html", media: mediaHTML, header: mediaHTML + "; charset=utf-8", ending: "html", inline: true},
		{name: "sarif", media: mediaSARIF, header: mediaSARIF, ending: "sarif"},
		{name: "csv", media: mediaCSV, header: mediaCSV + "; charset=utf-8", ending: "csv"},
		{name: "cyclonedx", media: mediaCycloneDX, header: mediaCycloneDX + "; version=1.6", ending: "cdx.json"},
		{name: "raw", media: mediaRaw, header: mediaRaw},
	}
}

const (
	mediaHTML      = "text/html"
	mediaCSV       = "text/csv"
	mediaSARIF     = "application/sarif+json"
	mediaCycloneDX = "application/vnd.cyclonedx+json"
	mediaRaw       = "application/octet-stream"
)

// formatOf is negotiate for what has a JSON and a CSV form.
func formatOf(name, accept string) (string, error) {
	f, err := negotiate(name, accept, slices.DeleteFunc(formats(), func(f format) bool { return f.name != "json" && f.name != "csv" }))
	return f.name, err
}

// negotiate decides between the query and Accept; the query wins. An Accept that wants nothing of ours means the first
// form, as no Accept does (RFC 9110, 12.4.1).
func negotiate(name, accept string, all []format) (format, error) {
	if name != "" {
		names := make([]string, len(all))
		for i, f := range all {
			if f.name == name {
				return f, nil
			}
			names[i] = f.name
		}
		return format{}, fault.New(fault.Unsupported, fault.CodeFormat, "this format is not available; take one of "+strings.Join(names, ", "))
	}
	wanted := ranges(accept)
	best, found := weight{}, all[0]
	for _, f := range all {
		if w := wanted.of(f.media); w.better(best) {
			best, found = w, f
		}
	}
	return found, nil
}

// mediaRange is one entry of an Accept header.
type mediaRange struct {
	media string
	q     int // thousandths
	order int
}

type mediaRanges []mediaRange

// maxRanges bounds how many entries of an Accept header count.
const maxRanges = 32

// ranges reads an Accept header; what can't be read is left out.
func ranges(accept string) (out mediaRanges) {
	for part := range strings.SplitSeq(accept, ",") {
		media, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		if len(out) == maxRanges {
			break
		}
		out = append(out, mediaRange{media: media, q: quality(params["q"]), order: len(out)})
	}
	return out
}

// quality reads a weight: 0 to 1 with at most three digits behind the point. Anything else counts as 1.
func quality(s string) int {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f < 0 || f > 1 || len(s) > 5 {
		return 1000
	}
	return int(f*1000 + 0.5)
}

// weight is how much an Accept header wants a media type.
type weight struct {
	q        int // 0 = not at all
	specific int // 3 = named, 2 = its type/*, 1 = */*
	order    int // of the entry that decided
}

// of returns the weight of a media type: the most specific entry that takes it decides.
func (rs mediaRanges) of(media string) (w weight) {
	main, _, _ := strings.Cut(media, "/")
	for _, r := range rs {
		specific := 0
		switch r.media {
		case media:
			specific = 3
		case main + "/*":
			specific = 2
		case "*/*":
			specific = 1
		}
		if specific > w.specific {
			w = weight{q: r.q, specific: specific, order: r.order}
		}
	}
	return w
}

// better orders weights; where all is equal, the one that came first stays.
func (w weight) better(than weight) bool {
	switch {
	case w.q != than.q:
		return w.q > than.q
	case w.q == 0:
		return false
	case w.specific != than.specific:
		return w.specific > than.specific
	}
	return w.order < than.order
}

// disposition is the Content-Disposition of a document of a scan: the name is made of ids, so nothing in it needs
// care.
func (f format) disposition(engine, id string) string {
	kind := "attachment"
	if f.inline {
		kind = "inline"
	}
	return fmt.Sprintf(`%s; filename="assay-%s-%s.%s"`, kind, engine, id, f.ending)
}

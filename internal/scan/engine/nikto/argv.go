package nikto

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/scan/engine"
)

// reportFile is Nikto's report in the scratch folder.
const reportFile = "nikto.json"

// tuning is one kind of tests, and Nikto's letter for it.
type tuning struct{ name, letter string }

// tunings are Nikto's kinds but for 6, denial of service.
func tunings() []tuning {
	return []tuning{
		{"files", "1"},
		{"misconfiguration", "2"},
		{"disclosure", "3"},
		{"injection", "4"},
		{"retrievalInRoot", "5"},
		{"retrievalAnywhere", "7"},
		{"commands", "8"},
		{"sqlInjection", "9"},
		{"upload", "0"},
		{"authentication", "a"},
		{"software", "b"},
		{remoteInclusion, "c"},
		{"webService", "d"},
		{"console", "e"},
	}
}

const remoteInclusion = "remoteInclusion"

func tuningNames() []string {
	var out []string
	for _, t := range tunings() {
		out = append(out, t.name)
	}
	return out
}

// usualTuning is everything but what makes the target ask a third party. It is in the order of the enum.
func usualTuning() []string {
	return slices.DeleteFunc(tuningNames(), func(name string) bool { return name == remoteInclusion })
}

// arguments builds the command line. Every value is a constant, a number, a user agent without a leading hyphen, or the
// target's URL, which begins with its scheme and so is neither an option nor a file's name.
func arguments(req engine.Request, work, proxy string) []string {
	o, target := req.Options, req.Target.URL()
	args := []string{
		"-host", address(target), "-Format", "json", "-output", work + "/" + reportFile, "-Display", "P",
		"-nocheck", "-ask", "no", "-nointeractive", "-nolookup", "-useproxy", "http://" + proxy,
		"-Tuning", letters(o.Set("tuning")), "-timeout", strconv.Itoa(max(o.Int("timeout"), 1)), "-maxtime", strconv.Itoa(max(o.Int("maxTime"), 1)) + "s",
	}
	if target.Scheme == "https" {
		args = append(args, "-ssl")
	} else {
		args = append(args, "-nossl")
	}
	if p := pause(req); p > 0 {
		args = append(args, "-Pause", strconv.FormatFloat(p, 'f', 3, 64))
	}
	if dirs := o.Text("cgiDirs"); dirs != "" && dirs != "auto" {
		args = append(args, "-Cgidirs", dirs)
	}
	if o.Bool("no404") {
		args = append(args, "-no404")
	}
	if o.Bool("followRedirects") {
		args = append(args, "-followredirects")
	}
	if ua := req.Config.UserAgent; ua != "" {
		args = append(args, "-useragent", ua)
	}
	return args
}

// address is the target without its query, which Nikto would take for a part of its paths. The path becomes Nikto's
// root, in front of everything it asks for.
func address(target *url.URL) string {
	u := url.URL{Scheme: target.Scheme, Host: target.Host, Path: target.Path, RawPath: target.RawPath}
	return u.String()
}

func letters(names []string) string {
	var b strings.Builder
	for _, t := range tunings() {
		if len(names) == 0 && t.name != remoteInclusion || slices.Contains(names, t.name) {
			b.WriteString(t.letter)
		}
	}
	return b.String()
}

// pause is the time between two requests in seconds; Nikto makes one at a time.
func pause(req engine.Request) float64 {
	p := float64(req.Options.Int("pauseMs")) / 1000
	if n := req.Config.RateLimit; n > 0 {
		p = max(p, 1/float64(n))
	}
	return p
}

package zap

import (
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"assay.dev/assay/internal/scan/engine"
)

// Names of what lies in the scratch folder.
const (
	configFile = "zap.properties"
	planFile   = "zap-plan.yaml"
)

// environment bounds the Java machine, wherever zap.sh would set other bounds, and keeps its files in the scratch
// folder: Java asks neither HOME nor TMPDIR. tuning are further options of Java's.
func environment(work, tuning string) []string {
	bounds := "-Xmx1g -XX:+ExitOnOutOfMemoryError -XX:-UsePerfData -Djava.awt.headless=true " + tuning
	if !strings.ContainsAny(work, `'"`) {
		bounds += " '-Duser.home=" + work + "' '-Djava.io.tmpdir=" + work + "'"
	}
	return []string{"_JAVA_OPTIONS=" + bounds}
}

// arguments builds the command line. The key isn't in it: processes of other users can read command lines.
func arguments(work string, port int) []string {
	return []string{
		"-daemon", "-silent", "-host", "127.0.0.1", "-port", strconv.Itoa(port),
		"-dir", work + "/zap", "-configfile", work + "/" + configFile,
	}
}

// settings are ZAP's settings that must hold from its first request on: the key of its API, and the run's proxy as the
// only way out. Later ones are made over the API, which says whether they were understood.
func settings(key, proxy string) ([]byte, error) {
	host, port, err := net.SplitHostPort(proxy)
	if err != nil {
		return nil, err
	}
	lines := []string{
		"api.key=" + key,
		"api.disablekey=false",
		"start.checkForUpdates=false",
		"start.checkAddonUpdates=false",
		"network.connection.httpProxy.enabled=true",
		"network.connection.httpProxy.host=" + host,
		"network.connection.httpProxy.port=" + port,
		"network.connection.httpProxy.authEnabled=false",
		"network.connection.socksProxy.enabled=false",
	}
	return []byte(strings.Join(lines, "\n") + "\n"), nil
}

// avoidNames are the values of the option avoid.
func avoidNames() []string { return []string{"account", "delete", "logout", "static"} }

// avoided returns the regular expressions (of Java, matched against whole URLs) of the kinds of pages to leave out.
func avoided(kinds []string) []string {
	var out []string
	for _, kind := range kinds {
		switch kind {
		case "logout":
			out = append(out, `(?i)^[^?#]*[/_.-](log|sign)[_-]?(out|off)([/_.?#-].*)?$`, `(?i)^[^#]*[?&][^=&#]*=(log|sign)[_-]?(out|off)([&#].*)?$`)
		case "delete":
			out = append(out, `(?i)^[^?#]*[/_.-](delete|remove|destroy|purge)([/_.?#-].*)?$`)
		case "account":
			out = append(out, `(?i)^[^?#]*/(account|profile|password|users?/(edit|settings))([/_.?#-].*)?$`)
		case "static":
			out = append(out, `(?i)^[^?#]*\.(png|jpe?g|gif|svg|ico|webp|woff2?|ttf|eot|css)([?#].*)?$`)
		}
	}
	return out
}

// within is the regular expression of the URLs that the order is about.
func within(target *url.URL, subtree bool) string {
	base := target.Scheme + "://" + target.Host
	if !subtree {
		return "^" + regexp.QuoteMeta(base) + "([/?#].*)?$"
	}
	path := target.EscapedPath()
	return "^" + regexp.QuoteMeta(base+path[:strings.LastIndexByte(path, '/')+1]) + ".*$"
}

// plan writes the automation plan (the framework's own YAML). Every value is a constant, a number, the target, or an
// expression made here; they are written as double-quoted JSON strings, which YAML reads the same way.
func plan(req engine.Request) []byte {
	o, target := req.Options, req.Target.URL()
	var b strings.Builder
	line := func(indent int, parts ...string) {
		b.WriteString(strings.Repeat("  ", indent) + strings.Join(parts, "") + "\n")
	}
	line(0, "env:")
	line(1, "contexts:")
	line(2, "- name: ", quoted(contextName))
	line(3, "urls: [", quoted(target.String()), "]")
	line(3, "includePaths: [", quoted(within(target, o.Bool("subtreeOnly"))), "]")
	line(3, "excludePaths: [", quotedList(avoided(o.Set("avoid"))), "]")
	line(1, "parameters: {failOnError: false, failOnWarning: false, continueOnFailure: true, progressToStdout: false}")
	line(0, "jobs:")
	for _, j := range jobs(o) {
		line(1, "- type: ", j.kind)
		line(2, "parameters:")
		for _, p := range append([]param{{"context", quoted(contextName)}}, parameters(j.kind, req)...) {
			line(3, p.name, ": ", p.value)
		}
		if j.kind == jobActive {
			line(2, "policyDefinition:")
			line(3, "defaultStrength: ", strings.ToLower(o.Text("attackStrength")))
			line(3, "defaultThreshold: ", strings.ToLower(o.Text("alertThreshold")))
		}
	}
	return []byte(b.String())
}

type param struct{ name, value string }

func parameters(kind string, req engine.Request) []param {
	o := req.Options
	number := func(name string) string { return strconv.Itoa(o.Int(name)) }
	page := param{"url", quoted(req.Target.URL().String())}
	switch kind {
	case jobSpider:
		depth := number("maxDepth")
		if !o.Bool("recurse") {
			depth = "1"
		}
		return []param{
			page,
			{"maxDuration", number("maxSpiderMinutes")},
			{"maxDepth", depth},
			{"maxChildren", number("maxChildren")},
			{"threadCount", strconv.Itoa(threads(req))},
		}
	case jobAjax:
		return []param{page, {"maxDuration", number("maxSpiderMinutes")}, {"browserId", ajaxBrowser}, {"numberOfBrowsers", "1"}}
	case jobPassive:
		return []param{{"maxDuration", number("maxSpiderMinutes")}}
	case jobActive:
		return []param{
			{"maxScanDurationInMins", number("maxScanMinutes")},
			{"maxRuleDurationInMins", number("maxRuleMinutes")},
			{"threadPerHost", strconv.Itoa(threads(req))},
			{"delayInMs", number("delayMs")},
		}
	}
	return nil
}

// threads is how many requests may be under way at a time.
func threads(req engine.Request) int {
	n := max(req.Options.Int("threadsPerHost"), 1)
	if most := req.Config.MaxParallelism; most > 0 {
		n = min(n, most)
	}
	return n
}

func quotedList(list []string) string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, quoted(s))
	}
	return strings.Join(out, ", ")
}

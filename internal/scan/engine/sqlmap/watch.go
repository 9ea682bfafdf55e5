package sqlmap

import (
	"bufio"
	"errors"
	"io"
	"regexp"
	"strings"
)

// maxLine bounds one line of the log; what is over is dropped. Payloads and echoed forms can be long.
const maxLine = 64 << 10

// maxPoints bounds the injection points of one page, and maxMethods the ways that are told of each.
const (
	maxPoints  = 200
	maxMethods = 12
)

// page is one page or form that sqlmap tests. Method and address are what its log says; nobody has checked them yet.
type page struct {
	method, address string
}

// point is one injection point: a place ("GET", "POST", "Cookie", "(custom) POST", …) and a parameter.
type point struct {
	place, parameter string
	ways             []way // none where the log ends before they were told
}

// way is one technique that worked.
type way struct{ kind, title, payload string }

// facts is what the log says of a page's database beside the injection.
type facts struct{ dbms, technology, banner, user string }

// watcher gets the log's events in order. All are optional.
type watcher struct {
	version  func(string)
	page     func(page)                      // a page begins
	count    func(n, of int)                 // and is the n-th of so many
	log      func(level, message string)     // a line of the log with its time
	other    func(line string)               // one without
	injected func(at page, p point, f facts) // told when the page is over
	finished func()                          // sqlmap says that it ends
}

// expressions of the log. They are compiled once for each reading.
type expressions struct{ line, count, testing, vulnerable, parameter *regexp.Regexp }

func compile() expressions {
	return expressions{
		line:       regexp.MustCompile(`^\[\d\d:\d\d:\d\d\] \[([A-Z]+)\] (.*)$`),
		count:      regexp.MustCompile(`^\[(\d{1,6})/(\d{1,6}|\?)\] (?:URL|Form):$`),
		testing:    regexp.MustCompile(`^testing URL '(.*)'$`),
		vulnerable: regexp.MustCompile(`^(?:(.{1,40}) )?parameter '(.{1,255})' is vulnerable\. `),
		parameter:  regexp.MustCompile(`^Parameter: (.{1,300}) \((.{1,60})\)$`),
	}
}

// log is one reading of sqlmap's log.
type log struct {
	w  watcher
	re expressions

	at     page
	points []point
	facts  facts

	named bool // the next line names the page
	block bool // within the list of injection points
}

// read reads a log to its end, however it ends. start is the page that is tested where the log names none.
func read(r io.Reader, start page, w watcher) error {
	l := &log{w: w, re: compile(), at: start}
	b := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := b.ReadSlice('\n')
		if len(line) > 0 {
			l.line(plain(string(line)))
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			err = skip(b)
		}
		if err != nil {
			l.close()
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// skip drops the rest of a line that is too long.
func skip(b *bufio.Reader) error {
	for {
		_, err := b.ReadSlice('\n')
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

func (l *log) line(s string) {
	switch {
	case s == "":
	case l.named:
		l.name(s)
	case s == "---":
		l.block = !l.block
	case l.block && l.inBlock(s):
	case s[0] == '[':
		l.bracket(s)
	default:
		l.other(s)
	}
}

// inBlock reads the list of points:
//
//	Parameter: id (GET)
//	    Type: boolean-based blind
//	    Title: AND boolean-based blind - WHERE or HAVING clause
//	    Payload: id=1 AND 6722=6722
func (l *log) inBlock(s string) bool {
	if m := l.re.parameter.FindStringSubmatch(s); m != nil {
		l.point(m[2], m[1])
		return true
	}
	if len(l.points) == 0 {
		return false
	}
	p := &l.points[len(l.points)-1]
	key, value, ok := strings.Cut(strings.TrimSpace(s), ": ")
	switch {
	case !ok:
		return false
	case key == "Type" && len(p.ways) < maxMethods:
		p.ways = append(p.ways, way{kind: value})
	case key == "Title" && len(p.ways) > 0:
		p.ways[len(p.ways)-1].title = value
	case key == "Payload" && len(p.ways) > 0:
		p.ways[len(p.ways)-1].payload = value
	default:
		return false
	}
	return true
}

// point makes the point the last one of the list, without what was known of it.
func (l *log) point(place, parameter string) {
	for i, p := range l.points {
		if p.place == place && p.parameter == parameter {
			l.points = append(append(l.points[:i:i], l.points[i+1:]...), point{place: place, parameter: parameter})
			return
		}
	}
	if len(l.points) < maxPoints {
		l.points = append(l.points, point{place: place, parameter: parameter})
	}
}

func (l *log) bracket(s string) {
	if m := l.re.line.FindStringSubmatch(s); m != nil {
		l.block = false
		l.message(m[1], m[2])
		return
	}
	if m := l.re.count.FindStringSubmatch(s); m != nil {
		l.block, l.named = false, true
		l.close()
		if l.w.count != nil {
			l.w.count(whole(m[1]), whole(m[2]))
		}
		return
	}
	if strings.HasPrefix(s, "[*] ending @") && l.w.finished != nil {
		l.w.finished()
	}
}

func (l *log) message(level, message string) {
	if m := l.re.testing.FindStringSubmatch(message); m != nil && m[1] != l.at.address {
		l.close()
		l.begin(page{method: "GET", address: m[1]})
	}
	if l.w.log != nil {
		l.w.log(level, message)
	}
}

// name reads the line behind "[3/7] URL:", "GET http://…".
func (l *log) name(s string) {
	l.named = false
	method, address, ok := strings.Cut(s, " ")
	if ok && method != "" && strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
		l.begin(page{method: method, address: address})
	}
}

func (l *log) begin(p page) {
	l.at = p
	if l.w.page != nil {
		l.w.page(p)
	}
}

// other reads lines without a time: the banner, answered questions and what was learnt of the database.
func (l *log) other(s string) {
	if m := l.re.vulnerable.FindStringSubmatch(s); m != nil {
		place := m[1]
		if place == "" {
			place = m[2] // "parameter 'User-Agent' is vulnerable"
		}
		l.point(place, m[2])
		return
	}
	if _, rest, ok := strings.Cut(s, "{"); ok && l.w.version != nil && strings.Contains(s, "_") {
		if version, _, ok := strings.Cut(rest, "#"); ok && version != "" && strings.Trim(version, "0123456789.") == "" {
			l.w.version(version)
			return
		}
	}
	if l.w.other != nil {
		l.w.other(s)
	}
	key, value, ok := strings.Cut(s, ": ")
	if !ok || len(l.points) == 0 {
		return
	}
	switch key {
	case "back-end DBMS":
		l.facts.dbms = value
	case "web application technology":
		l.facts.technology = value
	case "banner":
		l.facts.banner = strings.Trim(value, "'")
	case "current user":
		l.facts.user = strings.Trim(value, "'")
	}
}

// close tells what was found on the page and forgets it.
func (l *log) close() {
	if l.w.injected != nil {
		for _, p := range l.points {
			l.w.injected(l.at, p, l.facts)
		}
	}
	l.points, l.facts = nil, facts{}
}

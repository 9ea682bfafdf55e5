package crawl

import (
	"bytes"
	"context"
	"crypto/sha256"
	"html"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// question asks one parameter everything that fits it.
func (w *walk) question(ctx context.Context, p point) {
	w.redirect(ctx, p)
	w.traversal(ctx, p)
	w.reflection(ctx, p)
	w.query(ctx, p)
}

func (w *walk) try(ctx context.Context, p point, value string) (Answer, bool) {
	return w.send(ctx, Request{Method: http.MethodGet, URL: p.with(value)})
}

func (w *walk) found(p point, kind, strength, proof string) {
	w.sign(Sign{Kind: kind, Method: http.MethodGet, URL: bare(p.at), Parameter: clip(p.name, 128), Strength: strength, Proof: clip(proof, 512)})
}

// redirect asks whether the parameter decides where a redirect leads. The place is one that nobody has (RFC 2606).
func (w *walk) redirect(ctx context.Context, p point) {
	value := strings.ToLower(p.value())
	if !named(p.name, "to", "url", "uri", "next", "redirect", "return", "dest", "goto", "continue", "target", "forward", "location", "callback", "back", "link", "out") &&
		!strings.HasPrefix(value, "http") && !strings.HasPrefix(value, "/") {
		return
	}
	host := w.d.Token + ".invalid"
	for _, try := range []string{"https://" + host + "/", "//" + host + "/"} {
		a, ok := w.try(ctx, p, try)
		if !ok {
			return
		}
		to, err := p.at.Parse(a.Header.Get("Location"))
		if err == nil && a.Status >= 300 && a.Status < 400 && strings.EqualFold(to.Hostname(), host) {
			w.found(p, KindRedirect, Certain, p.name+"="+try+" was answered with status "+strconv.Itoa(a.Status)+" and Location: "+clip(to.String(), 200))
			return
		}
	}
}

// named reports whether a parameter's name is one of the words, or holds one as a part of its own.
func named(name string, words ...string) bool {
	low := strings.ToLower(name)
	for _, word := range words {
		if low == word || len(word) > 3 && strings.Contains(low, word) {
			return true
		}
	}
	return false
}

// traversal asks whether the parameter opens a file that everybody may read. What is in it isn't kept.
func (w *walk) traversal(ctx context.Context, p point) {
	if !named(p.name, "f", "file", "path", "page", "doc", "folder", "dir", "root", "template", "include", "download", "src", "view", "load", "read", "name", "img", "lang") &&
		path.Ext(p.value()) == "" {
		return
	}
	up := strings.Repeat("../", 10)
	for _, try := range []string{up + "etc/passwd", "/etc/passwd", strings.Repeat("....//", 10) + "etc/passwd"} {
		a, ok := w.try(ctx, p, try)
		if !ok {
			return
		}
		if a.Status < 400 && w.passwd.Match(a.Body) {
			w.found(p, KindTraversal, Certain, p.name+"="+try+" was answered with a file that has the line root:[masked]:0:0:[masked]")
			return
		}
	}
}

// reflection asks whether a value comes back into a page with the characters that make markup.
func (w *walk) reflection(ctx context.Context, p point) {
	mark := "zq" + w.d.Token
	const signs = `'"><`
	a, ok := w.try(ctx, p, mark+signs+"zq")
	if !ok || !isHTML(a) {
		return
	}
	body := a.Body
	for {
		i := bytes.Index(body, []byte(mark))
		if i < 0 {
			return
		}
		before, after := body[:i], body[i+len(mark):]
		switch {
		case bytes.HasPrefix(after, []byte(signs)):
			w.found(p, KindXSS, Firm, p.name+"="+mark+signs+" came back into the page as it was sent")
			return
		case inScript(before) && bytes.HasPrefix(after, []byte(`'"`)), inTag(before) && (bytes.HasPrefix(after, []byte(`'"`)) || bytes.HasPrefix(after, []byte(`'&quot;`)) && inSingle(before)):
			w.found(p, KindXSS, Tentative, p.name+"="+mark+signs+" came back into an attribute or a script with its quotes")
			return
		}
		body = after
	}
}

func inTag(before []byte) bool {
	return bytes.LastIndexByte(before, '<') > bytes.LastIndexByte(before, '>')
}

func inSingle(before []byte) bool {
	return len(before) > 0 && before[len(before)-1] == '\''
}

func inScript(before []byte) bool {
	return bytes.LastIndex(before, []byte("<script")) > bytes.LastIndex(before, []byte("</script"))
}

// query asks whether the parameter is part of a database query: by an error that a lone quote makes, and by conditions
// that are true and false.
func (w *walk) query(ctx context.Context, p point) {
	v := p.value()
	base, ok := w.try(ctx, p, v)
	if !ok || sqlError(base.Body) != "" {
		return
	}
	broken, ok := w.try(ctx, p, v+"'")
	if !ok {
		return
	}
	failed := sqlError(broken.Body)
	condition, differs := w.conditions(ctx, p, base)
	switch {
	case differs && failed != "":
		w.found(p, KindSQL, Certain, p.name+"="+v+"' made a database error: "+failed+"\nand the answer follows the condition in "+p.name+"="+condition)
	case differs:
		w.found(p, KindSQL, Firm, "the answer follows the condition in "+p.name+"="+condition)
	case failed != "":
		strength := Tentative
		if doubled, ok := w.try(ctx, p, v+"''"); ok && sqlError(doubled.Body) == "" {
			strength = Firm
		}
		w.found(p, KindSQL, strength, p.name+"="+v+"' made a database error: "+failed)
	}
}

// conditions sends a true and a false condition in the two forms that values have in queries. A page that isn't the
// same twice can't be asked so.
func (w *walk) conditions(ctx context.Context, p point, base Answer) (condition string, differs bool) {
	v := p.value()
	same, ok := w.try(ctx, p, v)
	if !ok || digest(same, v) != digest(base, v) {
		return "", false
	}
	pairs := [][2]string{{v + "' AND '7'='7", v + "' AND '7'='8"}}
	if v == "" || strings.Trim(v, "0123456789") == "" {
		pairs = slices.Insert(pairs, 0, [2]string{v + " AND 7=7", v + " AND 7=8"})
	}
	for _, pair := range pairs {
		agrees := true
		for range 2 { // twice, because once may be chance
			yes, ok1 := w.try(ctx, p, pair[0])
			no, ok2 := w.try(ctx, p, pair[1])
			if !ok1 || !ok2 {
				return "", false
			}
			agrees = agrees && digest(yes, pair[0], v) == digest(base, v) && digest(no, pair[1], v) != digest(base, v) && no.Status < 500
			if !agrees {
				break
			}
		}
		if agrees {
			return pair[0] + " (and not in " + pair[1] + ")", true
		}
	}
	return "", false
}

// digest is an answer without what merely repeats the question.
func digest(a Answer, values ...string) [32]byte {
	text := string(a.Body)
	for _, v := range values {
		if v == "" {
			continue
		}
		for _, form := range []string{v, html.EscapeString(v), url.QueryEscape(v), url.PathEscape(v)} {
			text = strings.ReplaceAll(text, form, "")
		}
	}
	return sha256.Sum256([]byte(strconv.Itoa(a.Status) + "\x00" + a.Header.Get("Location") + "\x00" + text))
}

// login asks a login form whether a lone quote in a user's name or in a password makes a database error. The user is
// one that nobody is, so that nobody is logged in and nobody is locked out.
func (w *walk) login(ctx context.Context, f form) {
	values := f.values()
	var ask []string // the first field of text, and the first password
	text, password := false, false
	for _, x := range f.fields {
		switch x.kind {
		case "password":
			values.Set(x.name, "assay-no-such-password")
			if !password {
				ask, password = append(ask, x.name), true
			}
		case "", "text", "email", "search":
			values.Set(x.name, "assay-"+w.d.Token)
			if !text {
				ask, text = append(ask, x.name), true
			}
		}
	}
	plain, ok := w.post(ctx, f, values, "", "")
	if !ok || sqlError(plain.Body) != "" {
		return
	}
	for _, name := range ask {
		w.loginField(ctx, f, values, name)
	}
}

// post sends a form with one value changed.
func (w *walk) post(ctx context.Context, f form, values url.Values, name, value string) (Answer, bool) {
	sent := maps.Clone(values)
	if name != "" {
		sent.Set(name, value)
	}
	return w.send(ctx, Request{Method: http.MethodPost, URL: f.action, Form: sent})
}

func (w *walk) loginField(ctx context.Context, f form, values url.Values, name string) {
	broken, ok := w.post(ctx, f, values, name, values.Get(name)+"'")
	if !ok {
		return
	}
	failed := sqlError(broken.Body)
	if failed == "" {
		return
	}
	strength, proof := Tentative, "a quote in "+clip(name, 40)+" made a database error: "+failed
	if doubled, ok := w.post(ctx, f, values, name, values.Get(name)+"''"); ok && sqlError(doubled.Body) == "" {
		strength, proof = Firm, proof+"\ntwo quotes made none"
	}
	w.sign(Sign{Kind: KindSQL, Method: http.MethodPost, URL: bare(f.action), Parameter: clip(name, 128), Strength: strength, Proof: proof})
}

// sqlError returns the words by which a database's error shows, "" where there are none.
func sqlError(body []byte) string {
	for _, words := range []string{
		"You have an error in your SQL syntax", "MySqlException", "valid MySQL result", "mysqli_sql_exception", "SQLSTATE[", "PG::SyntaxError",
		"unterminated quoted string at or near", "syntax error at or near", "org.postgresql.util.PSQLException", "pg_query(): Query failed",
		"sqlite3.OperationalError", "SQLite3::SQLException", "SQLITE_ERROR", "SQLiteException", "unrecognized token: &quot;", `unrecognized token: "`,
		"Unclosed quotation mark after the character string", "Microsoft OLE DB Provider for", "Incorrect syntax near", "SqlException",
		"quoted string not properly terminated", "ORA-00933", "ORA-01756", "ORA-00921", "oracle.jdbc", "DB2 SQL error", "Dynamic SQL Error",
		"org.hibernate.exception.SQLGrammarException", "java.sql.SQLSyntaxErrorException", "SQL syntax; check the manual",
	} {
		if bytes.Contains(body, []byte(words)) {
			return strings.TrimSuffix(strings.TrimSuffix(words, "&quot;"), `"`)
		}
	}
	return ""
}

// trace returns the words by which a program's inner error shows, "" where there are none.
func trace(body []byte) string {
	for _, words := range []string{
		"Traceback (most recent call last)", "goroutine 1 [running]:", "System.NullReferenceException", "Server Error in '/' Application",
		"java.lang.NullPointerException", "\tat org.springframework.", "\tat java.base/", "at Object.&lt;anonymous&gt;", "Fatal error: Uncaught",
		"Stack trace:\n#0 ", "ActionController::RoutingError", "Whoops, looks like something went wrong", "Werkzeug Debugger", "DJANGO_SETTINGS_MODULE",
		"NoMethodError in ",
	} {
		if bytes.Contains(body, []byte(words)) {
			return "the page holds " + strings.TrimSpace(words)
		}
	}
	return ""
}

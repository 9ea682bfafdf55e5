#!/usr/bin/env python3
"""vulnweb: a deliberately vulnerable web application for scanner tests.

Standard library only. Binds to 127.0.0.1 and to nothing else.

    python3 vulnweb.py [--port 8081] [--ready-file PATH] [--until-eof]

Planted flaws (id: place: what):
  W01 GET  /item?id=      SQL injection (sqlite, numeric, error and UNION visible)
  W02 POST /login         SQL injection (string, login bypass), no CSRF token
  W03 GET  /search?q=     reflected XSS
  W04 GET  /files/        directory listing
  W05 GET  /.git/         exposed git metadata (HEAD, config, index)
  W06 every answer        no CSP, X-Frame-Options, X-Content-Type-Options, HSTS
  W07 every answer        outdated banners: Server Apache/2.4.49, X-Powered-By PHP/5.4.16
  W08 cookie `session`    no HttpOnly, no Secure, no SameSite
  W09 GET  /go?to=        open redirect
  W10 GET  /download?f=   path traversal, jailed in a scratch folder (etc/passwd there is fake)
  W11 GET  /.env          leaked configuration with fake secrets
  W12 GET  /debug         verbose error with a stack trace
  W13 GET  /robots.txt    names hidden paths (/admin/, /backup/)
  W14 GET  /admin/        reachable without a login
  W15 GET  /ping?host=    blind SQL injection, time-free (boolean only)
"""
import argparse
import html
import os
import sqlite3
import sys
import tempfile
import threading
import traceback
import urllib.parse as up
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BANNER = "Apache/2.4.49 (Unix)"
LOCK = threading.Lock()


def make_db():
    db = sqlite3.connect(":memory:", check_same_thread=False)
    db.executescript(
        """
        create table items(id integer primary key, name text, price real);
        insert into items values (1,'lamp',19.5),(2,'desk',120),(3,'chair',45);
        create table users(id integer primary key, login text, pass text, email text);
        insert into users values (1,'admin','fake-pass-1','admin@example.test'),
                                 (2,'alice','fake-pass-2','alice@example.test');
        """
    )
    return db


def make_jail():
    root = tempfile.mkdtemp(prefix="vulnweb-")
    os.makedirs(os.path.join(root, "srv", "docs"))
    os.makedirs(os.path.join(root, "etc"))
    with open(os.path.join(root, "etc", "passwd"), "w") as f:
        f.write("root:x:0:0:root:/root:/bin/sh\nfake:x:1000:1000::/home/fake:/bin/sh\n")
    with open(os.path.join(root, "srv", "docs", "readme.txt"), "w") as f:
        f.write("a readme\n")
    return root


DB = make_db()
JAIL = make_jail()

PAGE = "<!doctype html><html><head><title>%s</title></head><body><h1>%s</h1>%s</body></html>"
FILES = {
    "/files/report.txt": "quarterly report\n",
    "/files/dump.sql": "insert into users values('admin','fake');\n",
    "/files/old.zip": "PK\x05\x06" + "\0" * 18,
}
GIT = {
    "/.git/HEAD": "ref: refs/heads/main\n",
    "/.git/config": "[core]\n\trepositoryformatversion = 0\n\tbare = false\n"
    '[remote "origin"]\n\turl = https://git.example.test/shop.git\n',
    "/.git/index": "DIRC\0\0\0\x02\0\0\0\0",
    "/.git/logs/HEAD": "0000 1111 Dev <dev@example.test> 1700000000 +0000\tcommit: start\n",
}
ENV = "APP_KEY=fake-app-key-000000\nDB_PASSWORD=fake-db-password\nMAIL_HOST=mail.example.test\n"


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def version_string(self):
        return BANNER

    def log_message(self, fmt, *args):
        pass

    def send(self, body, code=200, ctype="text/html; charset=utf-8", extra=()):
        data = body if isinstance(body, bytes) else body.encode("utf-8", "surrogateescape")
        self.send_response(code)
        self.send_header("X-Powered-By", "PHP/5.4.16")
        self.send_header("Content-Type", ctype)
        self.send_header("Content-Length", str(len(data)))
        if "session=" not in (self.headers.get("Cookie") or ""):
            self.send_header("Set-Cookie", "session=abc123; Path=/")
        for k, v in extra:
            self.send_header(k, v)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def page(self, title, body, code=200):
        self.send(PAGE % (html.escape(title), html.escape(title), body), code)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        u = up.urlsplit(self.path)
        q = {k: v[0] for k, v in up.parse_qs(u.query, keep_blank_values=True).items()}
        try:
            self.route(u.path, q)
        except BrokenPipeError:
            pass
        except Exception:
            self.send("<pre>%s</pre>" % html.escape(traceback.format_exc()), 500)

    def do_POST(self):
        n = min(int(self.headers.get("Content-Length") or 0), 1 << 20)
        form = {k: v[0] for k, v in up.parse_qs(self.rfile.read(n).decode("utf-8", "replace"),
                                                keep_blank_values=True).items()}
        if up.urlsplit(self.path).path != "/login":
            return self.page("Not found", "", 404)
        sql = "select login from users where login='%s' and pass='%s'" % (
            form.get("login", ""), form.get("pass", ""))
        try:
            with LOCK:
                row = DB.execute(sql).fetchone()
        except sqlite3.Error as e:
            return self.page("Error", "sqlite3.OperationalError: %s" % html.escape(str(e)), 500)
        self.page("Login", "welcome %s" % html.escape(str(row[0])) if row else "wrong login")

    def route(self, path, q):
        if path == "/":
            return self.page("Shop", """
              <ul><li><a href="/item?id=1">lamp</a></li><li><a href="/item?id=2">desk</a></li>
              <li><a href="/search?q=lamp">search</a></li><li><a href="/files/">files</a></li>
              <li><a href="/go?to=/about">about</a></li><li><a href="/download?f=readme.txt">readme</a></li>
              <li><a href="/ping?host=lamp">stock</a></li><li><a href="/debug?n=1">debug</a></li></ul>
              <form action="/login" method="post"><input name="login"><input name="pass" type="password">
              <input type="submit"></form><form action="/search"><input name="q"></form>""")
        if path == "/item":
            sql = "select id,name,price from items where id=" + q.get("id", "0")
            try:
                with LOCK:
                    rows = DB.execute(sql).fetchall()
            except sqlite3.Error as e:
                return self.page("Error", "sqlite3.OperationalError: %s in <code>%s</code>" % (
                    html.escape(str(e)), html.escape(sql)), 500)
            return self.page("Item", "".join("<p>%s: %s (%s)</p>" % r for r in rows) or "no such item")
        if path == "/ping":
            with LOCK:
                try:
                    row = DB.execute("select count(*) from items where name='%s'" % q.get("host", "")).fetchone()
                except sqlite3.Error:
                    row = (0,)
            return self.page("Stock", "in stock" if row and row[0] else "sold out")
        if path == "/search":
            return self.page("Search", "<p>results for %s</p>" % q.get("q", ""))
        if path == "/files/":
            return self.send("<html><head><title>Index of /files</title></head><body><h1>Index of /files</h1><pre>"
                             + "".join('<a href="%s">%s</a>\n' % (f, f.rsplit("/", 1)[1]) for f in FILES)
                             + "</pre></body></html>")
        if path in FILES:
            return self.send(FILES[path].encode("latin-1"), ctype="application/octet-stream")
        if path in GIT:
            return self.send(GIT[path].encode("latin-1"), ctype="text/plain")
        if path == "/.env":
            return self.send(ENV, ctype="text/plain")
        if path == "/go":
            return self.send("", 302, extra=[("Location", up.quote(q.get("to", "/"), safe=":/?&=#%@+,;~"))])
        if path == "/download":
            # the flaw stays inside a scratch folder: climbing past its top lands at its top
            rel = os.path.normpath(os.path.join("/srv/docs", q.get("f", "").lstrip("/")))
            want = os.path.join(JAIL, rel.lstrip("/"))
            if os.path.isfile(want):
                with open(want, "rb") as f:
                    return self.send(f.read(), ctype="text/plain")
            return self.page("Not found", "", 404)
        if path == "/debug":
            return self.page("Debug", str(100 // int(q.get("n", "0"))))
        if path == "/robots.txt":
            return self.send("User-agent: *\nDisallow: /admin/\nDisallow: /backup/\n", ctype="text/plain")
        if path == "/admin/":
            return self.page("Admin", "<p>users: admin, alice</p>")
        if path == "/about":
            return self.page("About", "<!-- build 1.0, todo: remove the test account admin -->")
        self.page("Not found", "<p>no such page</p>", 404)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--port", type=int, default=8081)
    p.add_argument("--ready-file")
    p.add_argument("--until-eof", action="store_true", help="end when standard input ends")
    a = p.parse_args()
    if a.until_eof:
        threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    srv = ThreadingHTTPServer(("127.0.0.1", a.port), App)
    srv.daemon_threads = True
    print("listening on 127.0.0.1:%d" % srv.server_address[1], flush=True)
    if a.ready_file:
        with open(a.ready_file, "w") as f:
            f.write("127.0.0.1:%d\n" % srv.server_address[1])
    srv.serve_forever()


if __name__ == "__main__":
    main()

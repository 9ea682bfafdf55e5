#!/usr/bin/env python3
"""fakezap: a stand-in for a ZAP daemon's REST API, for driver tests without ZAP.

Standard library only. Binds to 127.0.0.1 and to nothing else. Nothing is scanned:
the spider and the active scan are timers, and the alerts are made up. Paths, field
names, string-typed numbers, error codes and the 400 status follow ZAP's own API.

    python3 fakezap.py [--port 8090] [--key KEY] [--spider 1.0] [--ascan 2.0]
                       [--boot 0] [--die-at PERCENT] [--until-eof]

--boot S    answers refuse for S seconds after the start (a JVM that warms up)
--die-at P  the process ends when an active scan reaches P percent (a crash)
"""
import argparse
import json
import os
import sys
import threading
import time
import urllib.parse as up
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RULES = [  # pluginId, name, risk, confidence, cwe, wasc, param, attack, evidence
    ("40012", "Cross Site Scripting (Reflected)", "High", "Medium", "79", "8", "q", "<scrIpt>alert(1);</scRipt>", "<scrIpt>alert(1);</scRipt>"),
    ("40018", "SQL Injection", "High", "Medium", "89", "19", "id", "1'", "HTTP/1.1 500 Internal Server Error"),
    ("10038", "Content Security Policy (CSP) Header Not Set", "Medium", "High", "693", "15", "", "", ""),
    ("10020", "Missing Anti-clickjacking Header", "Medium", "Medium", "1021", "15", "x-frame-options", "", ""),
    ("10010", "Cookie No HttpOnly Flag", "Low", "Medium", "1004", "13", "session", "", "Set-Cookie: session"),
    ("10036", "Server Leaks Version Information via \"Server\" HTTP Response Header Field", "Low", "High", "497", "13", "", "", "Apache/2.4.49 (Unix)"),
    ("10109", "Modern Web Application", "Informational", "Medium", "-1", "-1", "", "", "<a href=\"#\">"),
]
RISKS = {"Informational": "0", "Low": "1", "Medium": "2", "High": "3"}


class State:
    def __init__(self, args):
        self.args, self.lock = args, threading.Lock()
        self.scans = {"spider": {}, "ascan": {}}
        self.born = time.time()

    def start(self, kind, url):
        with self.lock:
            n = str(len(self.scans[kind]))
            self.scans[kind][n] = {"url": url, "t0": time.time(), "stopped": None, "paused": None, "held": 0.0}
            return n

    def progress(self, kind, n):
        s = self.scans[kind][n]
        end = s["stopped"] or s["paused"] or time.time()
        total = getattr(self.args, kind)
        p = int(min(100, 100 * (end - s["t0"] - s["held"]) / total)) if total else 100
        if kind == "ascan" and self.args.die_at and p >= self.args.die_at:
            os._exit(1)
        return p

    def alerts(self, base):
        out, n = [], 0
        kinds = [k for k in ("spider", "ascan") if any(not base or s["url"].startswith(base) for s in self.scans[k].values())]
        for pid, name, risk, conf, cwe, wasc, param, attack, ev in RULES:
            active = pid.startswith("4")
            if not kinds or (active and not any(self.progress("ascan", i) >= 100 for i in self.scans["ascan"])):
                continue
            url = base or next(iter(self.scans[kinds[0]].values()))["url"]
            out.append({"sourceid": "1" if active else "3", "other": "", "method": "GET", "evidence": ev, "pluginId": pid,
                        "cweid": cwe, "confidence": conf, "wascid": wasc, "description": name + ".",
                        "messageId": str(n + 1), "inputVector": "querystring" if active else "",
                        "url": url.rstrip("/") + ("/?%s=x" % param if active else "/"),
                        "tags": {"CWE-%s" % cwe: "https://cwe.mitre.org/data/definitions/%s.html" % cwe} if cwe != "-1" else {},
                        "reference": "https://www.zaproxy.org/docs/alerts/%s/" % pid, "solution": "", "alert": name,
                        "param": param, "attack": attack, "name": name, "risk": risk, "id": str(n), "alertRef": pid})
            n += 1
        return out


class Api(BaseHTTPRequestHandler):
    state = None

    def log_message(self, fmt, *args):
        pass

    def send(self, d, code=200):
        b = json.dumps(d).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(b)))
        self.end_headers()
        self.wfile.write(b)

    def fail(self, code, detail=None, status=400):
        d = {"code": code, "message": code.replace("_", " ").capitalize()}
        if detail:
            d["detail"] = detail
        self.send(d, status)

    def do_POST(self):
        n = int(self.headers.get("Content-Length") or 0)
        self.handle_api(self.rfile.read(min(n, 1 << 20)).decode())

    def do_GET(self):
        self.handle_api("")

    def handle_api(self, body):
        st = self.state
        u = up.urlsplit(self.path)
        q = {k: v[0] for k, v in up.parse_qs(u.query + "&" + body, keep_blank_values=True).items()}
        if time.time() - st.born < st.args.boot:
            self.close_connection = True
            return None
        part = u.path.strip("/").split("/")
        if part[0] not in ("JSON", "OTHER"):
            return self.fail("bad_format")
        if st.args.key and q.get("apikey") != st.args.key and self.headers.get("X-ZAP-API-Key") != st.args.key:
            return self.fail("bad_api_key")
        comp, kind, name = (part[1:] + ["", "", ""])[:3]
        key = "%s/%s/%s" % (comp, kind, name)
        if key == "core/view/version":
            return self.send({"version": "2.16.1"})
        if comp in ("spider", "ascan"):
            if key.endswith("action/scan"):
                if not q.get("url"):
                    return self.fail("missing_parameter", "url")
                if not q["url"].startswith(("http://", "https://")):
                    return self.fail("illegal_parameter", "url")
                if comp == "ascan" and not any(q["url"].startswith(s["url"].rstrip("/")) for s in st.scans["spider"].values()):
                    return self.fail("url_not_found", "url")
                return self.send({"scan": st.start(comp, q["url"])})
            if kind == "view" and name == "scans":
                return self.send({"scans": [{"id": i, "progress": str(st.progress(comp, i)), "reqCount": "40", "alertCount": "2",
                                             "newAlertCount": "2", "state": "FINISHED" if st.progress(comp, i) >= 100 else "RUNNING"}
                                            for i in st.scans[comp]]})
            n = q.get("scanId", "")
            if n not in st.scans[comp]:
                return self.fail("does_not_exist", "scanId")
            s = st.scans[comp][n]
            if kind == "view" and name == "status":
                return self.send({"status": str(100 if s["stopped"] else st.progress(comp, n))})
            if kind == "view" and name == "results":
                return self.send({"results": [s["url"], s["url"].rstrip("/") + "/search?q=x"]})
            if kind == "action" and name in ("stop", "pause", "resume"):
                if name == "stop":
                    s["stopped"] = s["stopped"] or time.time()
                elif name == "pause":
                    s["paused"] = s["paused"] or time.time()
                elif s["paused"]:
                    s["held"] += time.time() - s["paused"]
                    s["paused"] = None
                return self.send({"Result": "OK"})
        if key == "pscan/view/recordsToScan":
            return self.send({"recordsToScan": "0"})
        if key in ("core/view/alerts", "alert/view/alerts"):
            a = st.alerts(q.get("baseurl", ""))
            if q.get("riskId"):
                a = [x for x in a if RISKS[x["risk"]] == q["riskId"]]
            i, c = int(q.get("start") or 0), int(q.get("count") or 0)
            return self.send({"alerts": a[i:i + c] if c > 0 else a[i:]})
        if key in ("core/view/numberOfAlerts", "alert/view/numberOfAlerts"):
            return self.send({"numberOfAlerts": str(len(st.alerts(q.get("baseurl", ""))))})
        if key == "alert/view/alertsSummary":
            d = {"High": 0, "Low": 0, "Medium": 0, "Informational": 0}
            for x in st.alerts(q.get("baseurl", "")):
                d[x["risk"]] += 1
            return self.send({"alertsSummary": d})
        if key == "core/action/newSession":
            st.scans = {"spider": {}, "ascan": {}}
            return self.send({"Result": "OK"})
        if key == "core/action/shutdown":
            self.send({"Result": "OK"})
            threading.Timer(0.2, os._exit, (0,)).start()
            return None
        self.fail("bad_view" if kind == "view" else "bad_action" if kind == "action" else "no_implementor", name)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--port", type=int, default=8090)
    p.add_argument("--key", default="")
    p.add_argument("--spider", type=float, default=1.0)
    p.add_argument("--ascan", type=float, default=2.0)
    p.add_argument("--boot", type=float, default=0)
    p.add_argument("--die-at", type=int, default=0)
    p.add_argument("--until-eof", action="store_true", help="end when standard input ends")
    Api.state = State(p.parse_args())
    if Api.state.args.until_eof:
        threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    srv = ThreadingHTTPServer(("127.0.0.1", Api.state.args.port), Api)
    srv.daemon_threads = True
    print("listening on 127.0.0.1:%d" % srv.server_address[1], flush=True)
    srv.serve_forever()


if __name__ == "__main__":
    main()

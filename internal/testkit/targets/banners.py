#!/usr/bin/env python3
"""banners: a row of small TCP services that announce old versions.

Standard library only. Binds to 127.0.0.1 and to nothing else.

    python3 banners.py [--base 9300] [--ready-file PATH] [--until-eof]

With --base 0 every service gets a free port; the line "listening on 127.0.0.1:P,P,..." names them in order.

nmap never probes the versions on 9100-9107 (printers) unless it is given --allports,
so the base is elsewhere.

Services (base+0 upwards):
  +0 ssh      SSH-2.0-OpenSSH_7.2p2 Ubuntu-4ubuntu2.8     (banner only)
  +1 ftp      vsFTPd 2.3.4, anonymous login accepted
  +2 smtp     Postfix, VRFY answers
  +3 redis    redis 2.8.4 without a password (PING, INFO)
  +4 telnet   a plain-text login prompt
  +5 silent   accepts, reads, never answers (a scanner must time out)
  +6 slow     sends one byte a second
"""
import argparse
import os
import socket
import sys
import threading
import time


def lines(f):
    while True:
        b = f.readline(4096)
        if not b:
            return
        yield b.strip()


def ssh(c, f):
    c.sendall(b"SSH-2.0-OpenSSH_7.2p2 Ubuntu-4ubuntu2.8\r\n")
    f.readline(4096)


def ftp(c, f):
    c.sendall(b"220 (vsFTPd 2.3.4)\r\n")
    for l in lines(f):
        w = l.split(b" ")[0].upper()
        c.sendall({b"USER": b"331 Please specify the password.\r\n", b"PASS": b"230 Login successful.\r\n",
                   b"SYST": b"215 UNIX Type: L8\r\n", b"QUIT": b"221 Goodbye.\r\n",
                   b"PWD": b'257 "/"\r\n', b"HELP": b"214 Help OK.\r\n"}.get(w, b"500 Unknown command.\r\n"))


def smtp(c, f):
    c.sendall(b"220 mail.example.test ESMTP Postfix (Debian/GNU)\r\n")
    for l in lines(f):
        w = l.split(b" ")[0].upper()
        if w == b"EHLO":
            c.sendall(b"250-mail.example.test\r\n250-VRFY\r\n250 PIPELINING\r\n")
        elif w == b"QUIT":
            c.sendall(b"221 2.0.0 Bye\r\n")
            return
        elif w == b"VRFY":
            c.sendall(b"252 2.0.0 root\r\n")
        else:
            c.sendall(b"250 2.0.0 Ok\r\n" if w in (b"HELO", b"NOOP", b"RSET") else b"502 5.5.2 Error: command not recognized\r\n")


def redis(c, f):
    info = b"# Server\r\nredis_version:2.8.4\r\nredis_mode:standalone\r\nos:Linux 3.13.0 x86_64\r\n"
    for l in lines(f):
        w = l.upper()
        if w in (b"PING",):
            c.sendall(b"+PONG\r\n")
        elif w.startswith(b"INFO"):
            c.sendall(b"$%d\r\n%s\r\n" % (len(info), info))
        elif w == b"QUIT":
            c.sendall(b"+OK\r\n")
            return
        elif not w.startswith((b"*", b"$")):
            c.sendall(b"-ERR unknown command '%s'\r\n" % l[:32])


def telnet(c, f):
    c.sendall(b"\xff\xfd\x18\xff\xfd\x20\r\nrouter login: ")
    f.readline(4096)


def silent(c, f):
    f.readline(4096)
    time.sleep(30)


def slow(c, f):
    for b in b"220 slow service ready":
        c.sendall(bytes([b]))
        time.sleep(1)


SERVICES = [ssh, ftp, smtp, redis, telnet, silent, slow]


def serve(sock, fn):
    def one(c):
        try:
            c.settimeout(60)
            with c, c.makefile("rb") as f:
                fn(c, f)
        except OSError:
            pass
    while True:
        c, _ = sock.accept()
        threading.Thread(target=one, args=(c,), daemon=True).start()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--base", type=int, default=9300)
    p.add_argument("--ready-file")
    p.add_argument("--until-eof", action="store_true", help="end when standard input ends")
    a = p.parse_args()
    if a.until_eof:
        threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    ports = []
    for i, fn in enumerate(SERVICES):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", a.base + i if a.base else 0))
        s.listen(64)
        ports.append(s.getsockname()[1])
        threading.Thread(target=serve, args=(s, fn), daemon=True).start()
    print("listening on 127.0.0.1:%s" % ",".join(map(str, ports)), flush=True)
    if a.ready_file:
        with open(a.ready_file, "w") as f:
            f.write("127.0.0.1:%d\n" % ports[0])
    threading.Event().wait()


if __name__ == "__main__":
    main()

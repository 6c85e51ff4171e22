"""Serves lookup.html, and hands what it reads on to the program, as an app's own server would.

    python3 lookup.py [PORT [PROGRAM]]        # 8000, http://127.0.0.1:7070
"""

import http.server
import pathlib
import sys
import urllib.error
import urllib.request

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
PROGRAM = sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:7070"
PAGE = pathlib.Path(__file__).with_name("lookup.html")


class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path in ("/", "/lookup.html"):
            self.answer(200, "text/html; charset=utf-8", PAGE.read_bytes())
        elif self.path.startswith("/v1/tables/order_history/"):
            try:
                with urllib.request.urlopen(PROGRAM + self.path) as found:
                    self.answer(200, "application/json", found.read())
            except urllib.error.HTTPError as refused:
                self.answer(refused.code, "application/json", refused.read())
        else:
            self.answer(404, "text/plain", b"not here\n")

    def answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


print(f"http://127.0.0.1:{PORT}/lookup.html", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", PORT), App).serve_forever()

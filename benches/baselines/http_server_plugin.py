"""The plugin of Argo CD's documentation, on Python's http.server, as a baseline.

Differences: it takes the file of its token and its port as arguments, its backlog is longer than http.server's five (so
that it does not starve), and whoever brings no token is not answered twice.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

with open(sys.argv[1]) as file:
    plugin_token = file.read().strip()


class Plugin(BaseHTTPRequestHandler):
    def args(self):
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length"))))

    def reply(self, reply):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode("UTF-8"))

    def refuse(self, status):
        self.send_response(status)
        self.end_headers()

    def do_POST(self):
        if self.headers.get("Authorization") != "Bearer " + plugin_token:
            return self.refuse(403)
        if self.path != "/api/v1/getparams.execute":
            return self.refuse(404)
        self.args()
        self.reply(
            {
                "output": {
                    "parameters": [
                        {"key1": "val1", "key2": "val2"},
                        {"key1": "val2", "key2": "val2"},
                    ]
                }
            }
        )


class Server(HTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[2])), Plugin).serve_forever()

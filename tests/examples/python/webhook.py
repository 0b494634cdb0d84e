"""Takes webhook messages and keeps each once: python3 webhook.py SECRET_FILE OUTPUT

Verifies as https://www.standardwebhooks.com says. Each message that is good becomes a line of OUTPUT.
"""

import base64
import hashlib
import hmac
import http.server
import json
import sys
import time

OLDEST_SECONDS = 300


def verify(secrets, headers, body, now):
    """Whether one of the secrets has signed the message, lately."""
    message, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(now - int(timestamp)) > OLDEST_SECONDS:
        return False
    signed = f"{message}.{timestamp}.".encode() + body
    good = [hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest() for secret in secrets]
    given = [base64.b64decode(part[3:]) for part in headers["webhook-signature"].split() if part.startswith("v1,")]
    return any(hmac.compare_digest(one, other) for one in good for other in given)


class Receiver(http.server.BaseHTTPRequestHandler):
    secrets, output, seen = [], None, set()

    def do_POST(self):
        body = self.rfile.read(min(int(self.headers["content-length"]), 1 << 20))
        good = verify(self.secrets, self.headers, body, time.time())
        assert not verify(self.secrets, self.headers, body + b" ", time.time()), "a message that was changed"
        self.send_response(204 if good else 401)
        self.end_headers()
        # Delivered at least once: the id tells those that came before.
        if good and self.headers["webhook-id"] not in self.seen:
            self.seen.add(self.headers["webhook-id"])
            headers = {name: self.headers[name] for name in ["webhook-id", "webhook-timestamp", "webhook-signature"]}
            self.output.write(json.dumps({"headers": headers, "body": body.decode()}) + "\n")
            self.output.flush()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    Receiver.secrets = open(sys.argv[1]).read().split()
    Receiver.output = open(sys.argv[2], "a")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()

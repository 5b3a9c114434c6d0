"""A certificate authority: pebble at ca.test (127.0.0.14), and a relay before it that changes what a test wants changed."""
import http.client
import http.server
import json
import os
import shutil
import ssl
import subprocess
import threading

from .testing import until

ADDRESS, PORT, MANAGEMENT, RELAY = "127.0.0.14", 14000, 15000, 14001


class Pebble:
    """One life of pebble.  It forgets everything when it ends, and signs with other keys afterwards."""

    directory = f"https://ca.test:{PORT}/dir"

    def __init__(self, lab, http_port=80, tls_port=443, name="ca.test", resolver="127.0.0.1", **environment):
        self.lab, self.name, self.directory = lab, name, f"https://{name}:{PORT}/dir"
        folder = lab.scratch / "pebble"
        folder.mkdir(exist_ok=True)
        self.chain, self.key = lab.pki.issue(name, "ca.hosts")
        config = folder / "config.json"
        config.write_text(json.dumps({"pebble": {
            "listenAddress": f"{ADDRESS}:{PORT}", "managementListenAddress": f"{ADDRESS}:{MANAGEMENT}", "certificate": self.chain,
            "privateKey": self.key, "httpPort": http_port, "tlsPort": tls_port, "ocspResponderURL": "",
            "externalAccountBindingRequired": environment.pop("external_account", False),
            "certificateValidityPeriod": environment.pop("validity", 0) or 7776000}}))
        env = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0", **environment}
        self.process = lab.start_process("pebble", ["pebble", "-config", config, "-dnsserver", f"{resolver}:53"], (ADDRESS, PORT), env=env)
        self.root = folder / "root.pem"
        self.root.write_text(self.manage("/roots/0"))

    def manage(self, path):
        connection = http.client.HTTPSConnection(self.name, MANAGEMENT, context=ssl.create_default_context(cafile=self.lab.ca), timeout=10)
        connection.request("GET", path)
        body = connection.getresponse().read().decode()
        connection.close()
        return body

    def log(self):
        return (self.lab.scratch / "pebble.log").read_text(errors="replace")

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Relay:
    """An https server at ca.test that hands requests on to pebble.

    ask(method, path, body) may answer by itself: (status, headers, body); answered(path, status, headers, body) may change
    what pebble says.  Both may return None.  `asked` lists what was asked for."""

    def __init__(self, lab, ask=None, answered=None):
        self.lab, self.ask, self.answered, self.asked = lab, ask, answered, []
        chain, key = lab.pki.issue("ca.test", tag=".relay")
        relay = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, answer = relay.exchange(self.command, self.path, dict(self.headers), body)
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer)

            do_GET = do_POST = do_HEAD = any

        self.server = http.server.ThreadingHTTPServer((ADDRESS, RELAY), Handler, bind_and_activate=False)
        self.server.allow_reuse_address = self.server.daemon_threads = True
        self.server.server_bind()
        self.server.server_activate()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.directory = f"https://ca.test:{RELAY}/dir"

    def exchange(self, method, path, headers, body):
        self.asked.append((method, path, body))
        own = self.ask(method, path, body) if self.ask else None
        if own:
            return own
        connection = http.client.HTTPSConnection("ca.test", PORT, context=ssl.create_default_context(cafile=self.lab.ca), timeout=10)
        try:
            connection.request(method, path, body or None, {k: v for k, v in headers.items() if k.lower() != "connection"})
            response = connection.getresponse()
            found = response.status, response.getheaders(), response.read()
        finally:
            connection.close()
        changed = self.answered(path, *found) if self.answered else None
        return changed or found

    def count(self, part, method=None):
        return sum(part in path and method in (None, asked) for asked, path, _ in self.asked)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def payload(body):
    """What a signed request says."""
    import base64
    text = json.loads(body)["payload"]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) or b"null")


def served(port=465, host="mail.example.org", roots=None):
    """What s_client makes of the certificate that is served: (leaf in PEM, verify return code)."""
    arguments = ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", host, "-verify_hostname", host, "-showcerts"]
    arguments += ["-starttls", "smtp"] if port != 465 else []
    arguments += ["-CAfile", str(roots)] if roots else []
    done = subprocess.run(arguments, input=b"", capture_output=True, timeout=30).stdout.decode(errors="replace")
    leaf = done[done.find("-----BEGIN CERTIFICATE-----"):done.find("-----END CERTIFICATE-----") + 25]
    code = done.rsplit("Verify return code: ", 1)[-1].split("\n", 1)[0]
    return leaf, code


def sh_text(pem):
    return subprocess.run(["openssl", "x509", "-noout", "-text"], input=pem.encode(), capture_output=True).stdout.decode()


def careless():
    """A client that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def sign_again(lab, stem, days):
    """The certificate that lab.pki made with this stem, for another lifetime."""
    folder = lab.pki.dir
    subprocess.run(["openssl", "x509", "-req", "-in", folder / f"{stem}.csr", "-CA", lab.pki.ca, "-CAkey", folder / "ca.key", "-CAcreateserial",
                    "-days", days, "-extfile", folder / f"{stem}.ext", "-out", folder / f"{stem}.pem"], check=True, capture_output=True)
    with open(folder / f"{stem}.pem", "a", encoding="ascii") as out:
        out.write(lab.pki.ca.read_text())


def here():
    return shutil.which("pebble") is not None

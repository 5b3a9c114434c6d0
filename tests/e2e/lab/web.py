"""HTTP as it goes over the wire, without a client that mends anything."""
import socket


class Answer:
    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.raw, self.status = raw, int(lines[0].split()[1]) if lines[0].startswith("HTTP/") else 0
        self.fields = {k.strip().lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:] if ":" in line)}

    @property
    def text(self):
        return self.body.decode()


def address_of(listen):
    host, port = listen.rsplit(":", 1)
    return host.strip("[]"), int(port)


def talk(listen, octets, seconds=30):
    """Sends the octets as they are and reads to the end."""
    with socket.create_connection(address_of(listen), seconds) as s:
        s.settimeout(seconds)
        raw = b""
        try:
            s.sendall(octets)
            while piece := s.recv(65536):
                raw += piece
        except (ConnectionResetError, BrokenPipeError):
            pass
        return Answer(raw)


def get(listen, path, method="GET", host=None, version="1.1", fields=()):
    lines = [f"{method} {path} HTTP/{version}"] + ([] if host == "" else [f"Host: {host or listen}"]) + list(fields)
    return talk(listen, "\r\n".join([*lines, "", ""]).encode("latin-1"))


def metrics(text):
    """{(name, ((label, value), ...)): number} of the Prometheus text format, strictly; and {name: (type, help)}."""
    import re
    values, families = {}, {}
    for line in text.splitlines():
        if line.startswith("# "):
            _, kind, name, rest = line.split(" ", 3)
            families.setdefault(name, {})[kind] = rest
            continue
        match = re.fullmatch(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)+)\})? ([0-9.]+)', line)
        if not match:
            raise ValueError(f"no sample: {line!r}")
        name, labels, value = match.groups()
        key = name, tuple(re.findall(r'([a-z]+)="((?:[^"\\]|\\.)*)"', labels or ""))
        if key in values:
            raise ValueError(f"twice: {line!r}")
        values[key] = float(value)
    return values, families

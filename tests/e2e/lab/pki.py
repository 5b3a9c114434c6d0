"""Certificates and DKIM keys, all by openssl: what sendas reads was not written by sendas."""
import base64

from .world import sh


class Pki:
    def __init__(self, scratch):
        self.dir = scratch / "pki"
        self.dir.mkdir()
        self.ca = self.dir / "ca.pem"
        sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=Lab root",
           "-keyout", self.dir / "ca.key", "-out", self.ca)

    def issue(self, *names, tag="", days=30):
        """(full chain, key) for these DNS names; the first one names the files."""
        stem = self.dir / (names[0] + tag)
        key, request, chain = f"{stem}.key", f"{stem}.csr", f"{stem}.pem"
        extensions = self.dir / f"{names[0]}{tag}.ext"
        extensions.write_text("subjectAltName=" + ",".join("DNS:" + n for n in names) + "\nextendedKeyUsage=serverAuth\n")
        sh("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={names[0]}", "-keyout", key,
           "-out", request)
        sh("openssl", "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.dir / "ca.key", "-CAcreateserial", "-days", str(days),
           "-extfile", extensions, "-out", chain)
        with open(chain, "a", encoding="ascii") as out:
            out.write(self.ca.read_text())
        return chain, key


def dkim_key(path, algorithm):
    """Makes a private key of mode 0600 at `path`; returns the TXT record to publish (RFC 6376 3.6.1, 8463 4)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = ["-pkeyopt", "rsa_keygen_bits:2048"] if algorithm == "rsa" else []
    sh("openssl", "genpkey", "-quiet", "-algorithm", algorithm.upper(), *options, "-out", path)
    path.chmod(0o600)
    pem = sh("openssl", "pkey", "-in", path, "-pubout").splitlines()
    public = "".join(line for line in pem if "-----" not in line)
    if algorithm == "ed25519":     # the last 32 octets of the SubjectPublicKeyInfo are the key itself
        public = base64.b64encode(base64.b64decode(public)[-32:]).decode()
    return f"v=DKIM1; k={algorithm}; p={public}"

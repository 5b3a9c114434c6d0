"""What receivers would say, by verifiers that we did not write."""
import ctypes
import ipaddress
import json
import re
import shutil
import subprocess
import time

from .testing import equal
from .world import NPM

PERL = r"""
use Mail::DKIM::Verifier;
for my $file (@ARGV) {
    my $v = Mail::DKIM::Verifier->new;
    open my $in, '<:raw', $file or die;
    local $/; my $text = <$in>; $v->PRINT($text); $v->CLOSE;
    print join(' ', map { $_->selector . '=' . $_->algorithm . '=' . $_->result } $v->signatures), "\n";
}
"""


def dkimpy_named(message):
    """[(selector, algorithm, good or the reason)] of each signature."""
    import dkim
    verifier = dkim.DKIM(message.raw)
    verdicts = []
    for index in range(len(message.fields("DKIM-Signature"))):
        try:
            good = verifier.verify(idx=index)
        except dkim.DKIMException as e:
            good = str(e)
        found = verifier.signature_fields
        verdicts.append((found.get(b"s", b"?").decode(), found.get(b"a", b"?").decode(), good))
    return verdicts


def dkimpy(message):
    """["selector=True", ...] of each signature."""
    return [f"{selector}={good}" for selector, _, good in dkimpy_named(message)]


def spf_sender(message):
    """What SPF is asked about: for the null sender, postmaster at the HELO name (RFC 7208 2.4)."""
    return message.mail_from or f"postmaster@{message.helo}"


def authheaders(message):
    """{"spf": "pass", "dkim": "pass", "dmarc": "pass"}"""
    import authheaders as judge
    text = judge.authenticate_message(message.raw, "lab", ip=message.ip, mail_from=spf_sender(message), helo=message.helo, spf=True,
                                      dkim=True, dmarc=True)
    return {method: (re.search(rf"\b{method}=(\w+)", text) or [None, "none"])[1] for method in ("spf", "dkim", "dmarc")}


def pyspf(message):
    import spf
    return spf.check2(i=message.ip, s=spf_sender(message), h=message.helo)[0]


def opendkim(path):
    done = subprocess.run(["opendkim-testmsg"], stdin=open(path, "rb"), capture_output=True)
    return "pass" if done.returncode == 0 else f"exit {done.returncode} {(done.stdout + done.stderr).decode(errors='replace').strip()}"


def opendmarc(message, dkim, spf):
    """What OpenDMARC's library says of the From: domain, given what OpenDKIM and pyspf found: "pass", "reject" ..."""
    library = ctypes.CDLL("libopendmarc.so.2")
    library.opendmarc_policy_connect_init.restype = ctypes.c_void_p
    policy = ctypes.c_void_p(library.opendmarc_policy_connect_init(message.ip.encode(), ipaddress.ip_address(message.ip).version == 6))
    author = re.search(rb"@([^\s>]+)", message.fields("From")[0]).group(1)
    library.opendmarc_policy_store_from_domain(policy, author)
    outcome = {"pass": 1, "none": 0}    # otherwise 2: fail
    for field in message.fields("DKIM-Signature"):
        d, s = (re.search(rb"\b" + tag + rb"=([^;\s]+)", field).group(1) for tag in (b"d", b"s"))
        library.opendmarc_policy_store_dkim(policy, d, s, outcome.get(dkim, 2), None)
    origin = 1 if message.mail_from else 2      # MAIL FROM, HELO
    library.opendmarc_policy_store_spf(policy, spf_sender(message).rpartition("@")[2].encode(), outcome.get(spf, 2), origin, None)
    library.opendmarc_policy_query_dmarc(policy, author)
    verdict = library.opendmarc_get_policy_to_enforce(policy)
    library.opendmarc_policy_connect_shutdown(policy)
    return {14: "no record", 15: "pass", 16: "reject", 17: "quarantine", 18: "none"}.get(verdict, f"error {verdict}")


def mail_dkim(paths):
    done = subprocess.run(["perl", "-e", PERL, *map(str, paths)], capture_output=True, text=True)
    return done.stdout.splitlines() if done.returncode == 0 else [done.stderr] * len(paths)


def mailauth(messages, paths):
    asked = [{"file": str(p), "ip": m.ip, "helo": m.helo, "sender": spf_sender(m)} for m, p in zip(messages, paths)]
    done = subprocess.run(["node", NPM / "verify.mjs"], input=json.dumps(asked), capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        return [{"dkim": [done.stderr[-500:]], "spf": "", "dmarc": ""}] * len(paths)
    return json.loads(done.stdout)


def all_pass(lab, messages, what=None, spf="pass", opendkim_too=True, selectors=("r1", "e1")):
    """Every verifier passes both signatures (RSA, Ed25519), SPF and DMARC of every message; returns the number of verdicts."""
    rsa, both = selectors[0], sorted(selectors)
    folder = lab.scratch / "judged"
    folder.mkdir(exist_ok=True)
    paths = []
    for message in messages:
        paths.append(folder / f"{len(list(folder.iterdir()))}.eml")
        paths[-1].write_bytes(message.raw)
    perl = mail_dkim(paths) if paths else []
    node = mailauth(messages, paths) if paths and shutil.which("node") and (NPM / "complete").exists() else None
    verdicts = 0
    for i, (message, path) in enumerate(zip(messages, paths)):
        found = {"dkimpy": sorted(dkimpy(message)), "Mail::DKIM": [v for v in perl[i].split() if v.startswith(f"{rsa}=")],    # no Ed25519 there
                 "authheaders": authheaders(message), "pyspf": pyspf(message)}
        expected = {"dkimpy": [f"{s}=True" for s in both], "Mail::DKIM": [f"{rsa}=rsa-sha256=pass"],
                    "authheaders": {"spf": spf, "dkim": "pass", "dmarc": "pass"}, "pyspf": spf}
        if opendkim_too:
            found["OpenDKIM"], expected["OpenDKIM"] = opendkim(path), "pass"
        if node:
            found["mailauth"] = {**node[i], "dkim": sorted(node[i]["dkim"])}
            expected["mailauth"] = {"dkim": [f"{s}=pass" for s in both], "spf": spf, "dmarc": "pass"}
        for judge, verdict in found.items():
            equal(verdict, expected[judge], f"{what or message.subject}, at {message.server}: {judge}")
        verdicts += len(found)
    return verdicts


def judge_dkim(lab, named):
    """{verifier: [verdict of each]}; named: [(name, message)].  A verdict is the sorted list of "selector=pass" or another word;
    OpenDKIM's is of the whole message, and Mail::DKIM knows no Ed25519."""
    folder = lab.scratch / f"dkim-{time.monotonic_ns()}"
    folder.mkdir()
    paths = []
    for i, (_, message) in enumerate(named):
        paths.append(folder / f"{i}.eml")
        paths[-1].write_bytes(message.raw)
    found = {
        "dkimpy": [sorted(f"{selector}={'pass' if good is True else 'fail'}" for selector, _, good in dkimpy_named(m)) for _, m in named],
        "OpenDKIM": [opendkim(path) for path in paths],
        "Mail::DKIM": [sorted(f"{v.split('=')[0]}={v.split('=')[2]}" for v in line.split() if "=ed25519" not in v) for line in mail_dkim(paths)],
    }
    if shutil.which("node") and (NPM / "complete").exists():
        found["mailauth"] = [sorted(v["dkim"]) for v in mailauth([m for _, m in named], paths)]
    return found


def dkim_pass(lab, named):
    """All verifiers pass every signature of [(name, message)]; returns the number of verdicts."""
    expected = {"dkimpy": ["e1=pass", "r1=pass"], "OpenDKIM": "pass", "Mail::DKIM": ["r1=pass"], "mailauth": ["e1=pass", "r1=pass"]}
    found = judge_dkim(lab, named)
    for judge, verdicts in found.items():
        for (name, _), verdict in zip(named, verdicts):
            equal(verdict, expected[judge], f"{name}: {judge}")
    return len(named) * len(found)

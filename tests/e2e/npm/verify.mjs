// stdin: [{"file", "ip", "helo", "sender"}]; stdout: [{"dkim": ["s1=pass", ...], "spf": "pass", "dmarc": "pass"}] by mailauth
import { readFileSync } from 'node:fs';
import { authenticate } from 'mailauth';

const verdicts = [];
for (const { file, ip, helo, sender } of JSON.parse(readFileSync(0))) {
  const { dkim, spf, dmarc } = await authenticate(readFileSync(file), { ip, helo, sender, mta: 'lab', disableArc: true, disableBimi: true });
  verdicts.push({
    dkim: dkim.results.map((r) => `${r.selector}=${r.status.result}`),
    spf: spf ? spf.status.result : 'none',
    dmarc: dmarc ? dmarc.status.result : 'none',
  });
}
process.stdout.write(JSON.stringify(verdicts));

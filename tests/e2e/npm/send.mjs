// usage: send.mjs HOST PORT METHOD USER PASSWORD CA SUBJECT RCPT,RCPT TEXT
import { readFileSync } from 'node:fs';
import nodemailer from 'nodemailer';

const [host, port, authMethod, user, pass, ca, subject, to, text] = process.argv.slice(2);
const transport = nodemailer.createTransport({
  host, port: Number(port), secure: port === '465', requireTLS: true, authMethod, auth: { user, pass },
  tls: { ca: readFileSync(ca), servername: host },
});
await transport.sendMail({ from: { name: 'Alice', address: user }, to: to.split(','), subject, text });

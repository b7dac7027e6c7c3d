// Secrets inside a value that may come again alone: the password in a docker config, the token in a kubeconfig. Pure.
import { findSecrets } from './detect.ts';

/** What is read of a value, bytes. */
const maxBytes = 64 * 1024;
const maxFindings = 32;
const base64Form = /^[A-Za-z0-9+/]{12,}={0,2}$/;

/** What detectors find in a value; unescaped, and decoded, where it stands so: `user:password` also as the password. */
export function innerValues(value: Buffer): Buffer[] {
  const inner: Buffer[] = [];
  for (const { start, end } of findSecrets(value.subarray(0, maxBytes), []).slice(0, maxFindings)) {
    const text = value.toString('utf8', start, end).trim();
    inner.push(Buffer.from(text));
    if (text.includes('\\')) inner.push(...unescaped(text));
    if (base64Form.test(text)) inner.push(...decoded(text));
  }
  return inner;
}

function unescaped(text: string): Buffer[] {
  try {
    return [Buffer.from(JSON.parse(`"${text}"`) as string)];
  } catch {
    return [];
  }
}

function decoded(text: string): Buffer[] {
  const bytes = Buffer.from(text, 'base64');
  const colon = bytes.indexOf(':');
  return colon === -1 ? [bytes] : [bytes, bytes.subarray(colon + 1)];
}

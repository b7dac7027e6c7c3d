// A mask that is written back would destroy the secret it stands for. It is looked for in every form in which a client
// could have kept it.
import { gunzipSync } from 'node:zlib';
import { maskPrefix } from '@sluice/model';
import type { Raw } from '@sluice/runtime/raw';
import { Refusal } from './refusal.ts';

/** Of all that a body holds packed. */
const maxInflatedBytes = 32 * 1024 * 1024;
/** More are looked at by nobody: a release is one. */
const maxArchives = 16;

/** The prefix, and what base64 makes of it at each alignment, once, twice and three times over. */
const forms: readonly Buffer[] = [maskPrefix, ...nested([maskPrefix], 3)].map((text) => Buffer.from(text));

function nested(texts: readonly string[], times: number): string[] {
  if (times === 0) return [];
  const once = texts.flatMap((text) => [0, 1, 2].map((shift) => inBase64(text, shift)));
  return [...once, ...nested(once, times - 1)];
}

/** What of a text stands in its base64, whatever is beside it. */
function inBase64(text: string, shift: number): string {
  const encoded = Buffer.from(' '.repeat(shift) + text)
    .toString('base64')
    .replace(/=+$/, '');
  return encoded.slice(Math.ceil((shift * 4) / 3), Math.floor(((shift + text.length) * 4) / 3));
}

/** Throws `Refusal` (`MaskedValueWritten`). */
export function refuseMasks(body: Raw): void {
  if (!hasMask(body)) return;
  throw new Refusal(
    'MaskedValueWritten',
    'the body holds a mask in place of a secret, and writing it would destroy the secret',
    'Send only the fields that change (kubectl patch), or the whole object with real values.',
  );
}

/** Whether a mask of any key stands in the bytes: plain, in base64, escaped as JSON, or in what gzip made of it. */
export function hasMask(bytes: Buffer): boolean {
  if (bytes.length === 0) return false;
  if (forms.some((form) => bytes.includes(form))) return true;
  if (bytes.includes('\\u')) {
    const plain = bytes
      .toString('latin1')
      .replaceAll(/\\u00([0-7][0-9a-fA-F])/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
    if (forms.some((form) => plain.includes(form.toString('latin1')))) return true;
  }
  return inflated(bytes).some((one) => forms.some((form) => one.includes(form)));
}

/** What gzip's output in base64 unpacks to, once (`H4sI…`) or twice encoded, as Helm keeps its releases. */
function inflated(bytes: Buffer): Buffer[] {
  if (!bytes.includes('H4sI') && !bytes.includes('SDRzS')) return [];
  const found = bytes.toString('latin1').matchAll(/(H4sI|SDRzS)[A-Za-z0-9+/=]{16,}/g);
  const unpacked: Buffer[] = [];
  let budgetBytes = maxInflatedBytes;
  for (const [text, begin] of found) {
    if (unpacked.length >= maxArchives || budgetBytes <= 0) break;
    const once = Buffer.from(text, 'base64');
    const archive = begin === 'H4sI' ? once : Buffer.from(once.toString('latin1'), 'base64');
    try {
      const one = gunzipSync(archive, { maxOutputLength: budgetBytes });
      budgetBytes -= one.length;
      unpacked.push(one);
    } catch {
      // What cannot be unpacked here can be unpacked by nobody.
    }
  }
  return unpacked;
}

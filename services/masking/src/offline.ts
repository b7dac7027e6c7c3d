// What would be masked and why, without a broker: one question as JSON on stdin, one answer as JSON on stdout.
import { createSecretKey, randomBytes } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { BodyError, JsonCursor, JsonError, openBrace, openBracket, quote, yamlToJson } from '@sluice/kube';
import type { MaskExplanation, MaskPlace, MaskQuestion } from '@sluice/model';
import { findSecrets } from './detect.ts';
import { createMasker } from './mask.ts';
import { createMaskValues } from './mask-values.ts';
import { type Splice, spliced } from './splice.ts';

/** Nobody's: these masks are looked at, and never come back. */
const key = createSecretKey(randomBytes(32));
const agent = { issuer: '', name: '' };
const request = {
  agent,
  apiGroup: '',
  resource: '',
  subresource: '',
  form: 'object',
  direction: 'shown',
  rules: [],
} as const;

function explainText(given: string): MaskExplanation {
  const bytes = Buffer.from(given);
  const newMask = createMaskValues(key)(agent);
  const splices = findSecrets(bytes, []).map(({ start, end, by }): Splice => {
    return { start, end, text: newMask(bytes.subarray(start, end)), why: `detector ${by}` };
  });
  const masks = splices.map(({ start, end, why }): MaskPlace => {
    const lines = bytes.toString('utf8', 0, start).split('\n');
    const path = `${lines.length}:${(lines.at(-1)?.length ?? 0) + 1}`;
    return { document: 1, kind: '', namespace: '', name: '', path, why, bytes: end - start };
  });
  return { kind: 'masked', masks, shown: spliced(bytes, splices).toString() };
}

function explainObjects(given: string): MaskExplanation {
  const documents = given
    .split(/^---[^\n]*$/m)
    .filter((document) => document.replaceAll(/^\s*#.*$/gm, '').trim() !== '')
    .map((document) => (/^\s*[[{]/.test(document) ? Buffer.from(document.trim()) : yamlToJson(Buffer.from(document))));
  const masks: MaskPlace[] = [];
  const shown = documents.map((json, index) => {
    const { bytes, splices } = createMasker(key).mask(request, json);
    const object = JSON.parse(json.toString()) as {
      readonly kind?: unknown;
      readonly metadata?: { readonly name?: unknown; readonly namespace?: unknown };
    };
    const word = (value: unknown): string => (typeof value === 'string' ? value : '');
    const of = {
      kind: word(object.kind),
      namespace: word(object.metadata?.namespace),
      name: word(object.metadata?.name),
    };
    const paths = pathsOf(json, splices);
    for (const { start, end, why } of splices.toSorted((a, b) => a.start - b.start))
      masks.push({ document: index + 1, ...of, path: paths.get(start) ?? '', why, bytes: end - start });
    return `${JSON.stringify(JSON.parse(bytes.toString()), null, 2)}\n`;
  });
  return { kind: 'masked', masks, shown: shown.join('---\n') };
}

/** Where in the document each replacement begins, as JSONPath writes it. */
function pathsOf(json: Buffer, splices: readonly Splice[]): ReadonlyMap<number, string> {
  const cursor = new JsonCursor(json);
  const found = new Map<number, string>();
  const within = (start: number, end: number, path: string): void => {
    for (const splice of splices) if (splice.start >= start && splice.start < end) found.set(splice.start, path);
  };
  const walk = (path: string): void => {
    cursor.peek();
    const { at } = cursor;
    let index = 0;
    switch (cursor.peek()) {
      case openBrace:
        return cursor.object((name, span) => {
          within(span.start, span.end, `${path} (a key)`);
          walk(/^[A-Za-z_][\w-]*$/.test(name) ? `${path}.${name}` : `${path}['${name}']`);
        });
      case openBracket:
        return cursor.array(() => walk(`${path}[${index++}]`));
      case quote:
        cursor.string();
        break;
      default:
        cursor.scalar();
    }
    within(at, cursor.at, path);
  };
  walk('');
  return found;
}

function explain({ form, text: given }: MaskQuestion): MaskExplanation {
  try {
    return form === 'text' ? explainText(given) : explainObjects(given);
  } catch (error) {
    if (!(error instanceof BodyError) && !(error instanceof JsonError)) throw error;
    return { kind: 'fault', message: error.message };
  }
}

process.stdout.write(JSON.stringify(explain(JSON.parse(await text(process.stdin)) as MaskQuestion)));

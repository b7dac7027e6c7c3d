// Masks secrets inside JSON, in place: every byte outside a mask stays as it was. Pure.
import type { KeyObject } from 'node:crypto';
import { JsonCursor, maxDepth, openBrace, openBracket, quote, type StringSpan } from '@sluice/kube';
import { isSecretName, type MaskRequest } from '@sluice/model';
import { findSecrets, suspects } from './detect.ts';
import { createMaskValues, type NewMask } from './mask-values.ts';
import { escaped, type Splice, spliced, unescaped } from './splice.ts';
import { isSecretEntry, isSecretField, isSecretFlag, type Place, Surroundings } from './surroundings.ts';

/** Puts masks in place of values. */
export interface Masker {
  /** Throws `JsonError` when the bytes are not one JSON value. */
  mask(
    request: Omit<MaskRequest, 'lengths'>,
    value: Buffer,
  ): {
    readonly bytes: Buffer;
    readonly masks: number;
    /** What the masks stand for. */
    readonly secrets: readonly Buffer[];
  };
}

/** kubectl keeps the whole manifest in this annotation, as a JSON text. */
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

/** `key`: 32 bytes; tags of masks derive from it. */
export function createMasker(key: KeyObject): Masker {
  const maskValues = createMaskValues(key);
  return {
    mask(request, value) {
      const newMask = maskValues(request.agent);
      const secrets: Buffer[] = [];
      const of = (resource: string): boolean => request.resource === resource && request.apiGroup === '';
      const what: What = {
        newMask: (secret) => {
          secrets.push(secret);
          return newMask(secret);
        },
        surroundings: new Surroundings(request),
        kind: of('secrets') ? 'Secret' : of('configmaps') ? 'ConfigMap' : '',
        form: request.form === 'json-patch' ? 'json-patch' : 'object',
      };
      const splices = new Walk(value, what).splices();
      return { bytes: spliced(value, splices), masks: splices.length, secrets };
    },
  };
}

interface What {
  readonly newMask: NewMask;
  readonly surroundings: Surroundings;
  /** What the URL says: whatever looks like a field of such an object is one, whatever its own kind says. */
  readonly kind: 'Secret' | 'ConfigMap' | '';
  readonly form: 'object' | 'json-patch';
}

/** How a value is written: `base64` is what `data` of Secrets and `binaryData` hold. */
type Encoding = 'base64' | 'plain';

/** A field whose meaning depends on the kind, which may stand behind it. */
interface Held {
  readonly at: number;
  readonly field: 'data' | 'stringData' | 'binaryData' | 'value';
}

class Walk {
  readonly #cursor: JsonCursor;
  readonly #what: What;
  /** Where a detector would look; found in one pass over all. */
  readonly #suspects: readonly number[];
  #splices: Splice[] = [];
  /** Texts that were masked: cells of a Table may print them. */
  readonly #texts = new Set<string>();
  #depth = 0;

  constructor(value: Buffer, what: What) {
    this.#cursor = new JsonCursor(value);
    this.#what = what;
    this.#suspects = suspects(value);
  }

  splices(): readonly Splice[] {
    const { root } = this.#what.surroundings;
    if (this.#what.form === 'json-patch' && this.#cursor.peek() === openBracket)
      this.#nested(() => this.#cursor.array(() => this.#operation()));
    else this.#value(root);
    this.#cursor.end();
    return this.#splices;
  }

  #value(place: Place): void {
    const cursor = this.#cursor;
    if (place.isMasked) return this.#maskAll('plain');
    switch (cursor.peek()) {
      case openBrace:
        return this.#nested(() => this.#object(place));
      case openBracket:
        return this.#nested(() => this.#array(place));
      case quote: {
        const span = cursor.string();
        if (isSecretField(place.name)) this.#maskString(span, 'plain');
        else this.#detect(span);
        return;
      }
      default:
        cursor.scalar();
    }
  }

  #nested(walk: () => void): void {
    if (++this.#depth > maxDepth) throw this.#cursor.error();
    walk();
    this.#depth--;
  }

  /** Arguments: the one behind `--password` is a secret. */
  #array(place: Place): void {
    const cursor = this.#cursor;
    const inside = this.#what.surroundings.element(place);
    let isFlagBefore = false;
    cursor.array(() => {
      if (cursor.peek() !== quote || inside.isMasked) {
        isFlagBefore = false;
        return this.#value(inside);
      }
      const { at } = cursor;
      const span = cursor.string();
      const text = cursor.text(span);
      if (isFlagBefore && !text.startsWith('-')) this.#maskString(span, 'plain');
      else {
        cursor.at = at;
        this.#value(inside);
      }
      isFlagBefore = isSecretFlag(text);
    });
  }

  /** The kind of an object may stand after its fields, so what some of them are is settled at its end. */
  #object(place: Place): void {
    const cursor = this.#cursor;
    const before = this.#splices.length;
    const kinds = new Set<string>([this.#what.kind]);
    const held: Held[] = [];
    let entryName = '';
    let entryValue: StringSpan | undefined;
    let cells: number | undefined;
    cursor.object((key, span) => {
      const isString = cursor.peek() === quote;
      const { at } = cursor;
      if (/^[vk]:/.test(key)) this.#detect(span);
      if (key === 'kind' && isString) {
        // With two kinds in one object, any reader may believe either.
        kinds.add(cursor.text(cursor.string()));
      } else if (key === lastApplied && isString) {
        this.#manifest(cursor.string());
      } else {
        if (key === 'data' || key === 'stringData' || key === 'binaryData') held.push({ at, field: key });
        if (key === 'cells') cells = at;
        const text = isString ? this.#peekString() : undefined;
        if (key === 'name' && text !== undefined) entryName = cursor.text(text);
        if (key === 'value' && text !== undefined) entryValue = text;
        this.#value(this.#what.surroundings.field(place, key));
      }
    });
    const end = cursor.at;
    if (entryValue !== undefined && isSecretEntry(entryName))
      this.#again(entryValue.start - 1, () => this.#maskAll('plain'));
    if (kinds.has('Secret')) this.#secret(held);
    else if (kinds.has('ConfigMap')) this.#configMap(held);
    if (cells !== undefined && this.#splices.length > before) this.#again(cells, () => this.#cells());
    cursor.at = end;
  }

  #secret(held: readonly Held[]): void {
    for (const { at, field } of held) {
      if (field !== 'binaryData') this.#again(at, () => this.#maskAll(field === 'data' ? 'base64' : 'plain'));
    }
  }

  /** Entries with a secret's name, and binary ones in which a detector finds something. */
  #configMap(held: readonly Held[]): void {
    const cursor = this.#cursor;
    for (const { at, field } of held) {
      cursor.at = at;
      if (cursor.peek() !== openBrace || field === 'stringData') continue;
      const encoding: Encoding = field === 'binaryData' ? 'base64' : 'plain';
      const masked: number[] = [];
      cursor.object((key) => {
        const isString = cursor.peek() === quote;
        const { at: start } = cursor;
        const span = isString ? cursor.string() : undefined;
        if (span === undefined) return this.#skip();
        const isBinarySecret = (): boolean =>
          findSecrets(Buffer.from(cursor.text(span), 'base64'), this.#what.surroundings.also).length > 0;
        if (isSecretName(key) || (encoding === 'base64' && isBinarySecret())) masked.push(start);
      });
      for (const start of masked) this.#again(start, () => this.#maskAll(encoding));
    }
  }

  #cells(): void {
    const cursor = this.#cursor;
    if (cursor.peek() !== openBracket) return;
    const masked: number[] = [];
    cursor.array(() => {
      if (cursor.peek() !== quote) return this.#skip();
      const { at } = cursor;
      if (this.#texts.has(cursor.text(cursor.string()))) masked.push(at);
    });
    for (const at of masked) this.#again(at, () => this.#maskAll('plain'));
  }

  /** An operation of RFC 6902: its value stands where its path says. */
  #operation(): void {
    const cursor = this.#cursor;
    if (cursor.peek() !== openBrace) return this.#value(this.#what.surroundings.root);
    let path: string | undefined;
    const values: number[] = [];
    const start = cursor.at;
    this.#nested(() =>
      cursor.object((key) => {
        const isString = cursor.peek() === quote;
        if (key === 'value') values.push(cursor.at);
        if (key === 'path' && isString) path = cursor.text(cursor.string());
        else this.#skip();
      }),
    );
    const end = cursor.at;
    cursor.at = start;
    if (this.#what.kind === 'Secret') {
      for (const at of values) this.#again(at, () => this.#maskAll('plain'));
    } else if (path === undefined) {
      this.#value(this.#what.surroundings.root);
    } else {
      for (const at of values) this.#patched(at, path);
    }
    cursor.at = end;
  }

  #patched(at: number, path: string): void {
    const { surroundings, kind } = this.#what;
    const names = path
      .split('/')
      .slice(1)
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
    let place = surroundings.root;
    for (const name of names) {
      const inArray = surroundings.element(place);
      place =
        /^(\d+|-)$/.test(name) && (inArray.open.length > 0 || inArray.isMasked)
          ? inArray
          : surroundings.field(place, name);
    }
    const last = names.at(-1) ?? '';
    // The name that goes with a variable's value is not in the patch.
    const isEntryValue = last === 'value' && /^(\d+|-)$/.test(names.at(-2) ?? '');
    const isEntry = kind === 'ConfigMap' && names.length > 1 && isSecretName(last);
    this.#cursor.at = at;
    if (isEntryValue || isEntry || place.isMasked) this.#maskAll('plain');
    else if (last === lastApplied && this.#cursor.peek() === quote) this.#manifest(this.#cursor.string());
    else this.#value(place);
  }

  /** Goes back to a value that has been walked, and masks all of it: what was found inside gives way. */
  #again(at: number, mask: () => void): void {
    const cursor = this.#cursor;
    cursor.at = at;
    this.#skip();
    const end = cursor.at;
    this.#splices = this.#splices.filter((one) => one.end <= at || one.start >= end);
    cursor.at = at;
    cursor.peek();
    mask();
  }

  #skip(): void {
    const cursor = this.#cursor;
    switch (cursor.peek()) {
      case openBrace:
        return this.#nested(() => cursor.object(() => this.#skip()));
      case openBracket:
        return this.#nested(() => cursor.array(() => this.#skip()));
      case quote:
        cursor.string();
        return;
      default:
        cursor.scalar();
    }
  }

  #peekString(): StringSpan {
    const { at } = this.#cursor;
    const span = this.#cursor.string();
    this.#cursor.at = at;
    return span;
  }

  /** Masks every scalar but `null`, which only says that a key goes away. */
  #maskAll(encoding: Encoding): void {
    const cursor = this.#cursor;
    switch (cursor.peek()) {
      case openBrace:
        return this.#nested(() => cursor.object(() => this.#maskAll(encoding)));
      case openBracket:
        return this.#nested(() => cursor.array(() => this.#maskAll(encoding)));
      case quote:
        return this.#maskString(cursor.string(), encoding);
      default: {
        const span = cursor.scalar();
        const text = cursor.bytes.toString('latin1', span.start, span.end);
        if (text === 'null') return;
        this.#splices.push({ ...span, text: JSON.stringify(this.#what.newMask(Buffer.from(text))) });
      }
    }
  }

  #maskString(span: StringSpan, encoding: Encoding): void {
    if (span.end === span.start) return;
    const text = this.#cursor.text(span);
    const secret = encoding === 'base64' ? Buffer.from(text, 'base64') : Buffer.from(text);
    // What is masked already stays: a mask of a mask would stand for nothing.
    if (maskForm.test(secret.toString('latin1', 0, maxMask)) || maskForm.test(text)) return;
    this.#texts.add(text);
    const mask = this.#what.newMask(secret);
    const shown = encoding === 'base64' ? Buffer.from(mask).toString('base64') : mask;
    this.#splices.push({ start: span.start, end: span.end, text: shown });
  }

  /** Masks what detectors find in a string. */
  #detect(span: StringSpan): void {
    const { also } = this.#what.surroundings;
    if (!span.escaped && also.length === 0 && !this.#isSuspect(span)) return;
    const { bytes } = this.#cursor;
    const { text, places } = span.escaped ? unescaped(bytes, span) : { text: bytes.subarray(span.start, span.end) };
    const place = (at: number): number => places?.[at] ?? span.start + at;
    for (const { start, end } of findSecrets(text, also)) {
      const secret = text.subarray(start, end);
      this.#texts.add(secret.toString());
      this.#splices.push({ start: place(start), end: place(end), text: this.#what.newMask(secret) });
    }
  }

  #isSuspect({ start, end }: StringSpan): boolean {
    const all = this.#suspects;
    let low = 0;
    let high = all.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((all[middle] as number) < start) low = middle + 1;
      else high = middle;
    }
    return (all[low] ?? end) < end;
  }

  /** Masks inside a manifest; all of it, where it is not a JSON text. */
  #manifest(span: StringSpan): void {
    const { text, places } = unescaped(this.#cursor.bytes, span);
    let inner: readonly Splice[];
    try {
      inner = new Walk(text, { ...this.#what, form: 'object' }).splices();
    } catch {
      return this.#maskString(span, 'plain');
    }
    for (const { start, end, text: mask } of inner)
      this.#splices.push({ start: places[start] as number, end: places[end] as number, text: escaped(mask) });
  }
}

/** A whole mask, and nothing else. */
const maskForm = /^sluice-mask:v1:[0-9a-f]{8}:[A-Za-z0-9_-]{16}$/;
const maxMask = 64;

// Masks Secret values inside JSON, in place: every byte outside a mask stays as it was. Pure.
import type { KeyObject } from 'node:crypto';
import { JsonCursor, maxDepth, openBrace, openBracket, quote } from '@sluice/kube';
import type { MaskRequest } from '@sluice/model';
import { createMaskValues, type NewMask } from './mask-values.ts';

/** Puts masks in place of values. */
export interface Masker {
  /** Throws `JsonError` when the bytes are not one JSON value. */
  mask(request: Omit<MaskRequest, 'lengths'>, value: Buffer): { readonly bytes: Buffer; readonly masks: number };
}

/** kubectl keeps the whole manifest in this annotation, as a JSON text. */
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';
/** One replacement: `text` goes where `[start, end)` was. */
interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** `key`: 32 bytes; tags of masks derive from it. */
export function createMasker(key: KeyObject): Masker {
  const maskValues = createMaskValues(key);
  return {
    mask(request, value) {
      const newMask = maskValues(request.agent);
      const byUrl = request.resource === 'secrets' && request.apiGroup === '';
      const splices = new Walk(value, newMask, byUrl, request.form === 'json-patch').splices();
      return { bytes: splice(value, splices), masks: splices.length };
    },
  };
}

class Walk {
  readonly #cursor: JsonCursor;
  readonly #newMask: NewMask;
  /** The URL says Secrets: whatever looks like a Secret's fields is one, whatever its kind says. */
  readonly #secrets: boolean;
  readonly #patch: boolean;
  #splices: Splice[] = [];
  #depth = 0;

  constructor(value: Buffer, newMask: NewMask, secrets: boolean, patch: boolean) {
    this.#cursor = new JsonCursor(value);
    this.#newMask = newMask;
    this.#secrets = secrets;
    this.#patch = patch;
  }

  splices(): readonly Splice[] {
    this.#value();
    this.#cursor.end();
    return this.#splices;
  }

  #value(): void {
    switch (this.#cursor.peek()) {
      case openBrace:
        return this.#nested(() => this.#object());
      case openBracket:
        return this.#nested(() => this.#cursor.array(() => this.#value()));
      case quote:
        this.#cursor.string();
        return;
      default:
        this.#cursor.scalar();
    }
  }

  #nested(walk: () => void): void {
    if (++this.#depth > maxDepth) throw this.#cursor.error();
    walk();
    this.#depth--;
  }

  /** The kind of an object may stand after its data, so what to mask is settled at its end. */
  #object(): void {
    const cursor = this.#cursor;
    const before = this.#splices.length;
    let secret = this.#secrets;
    const held: { readonly at: number; readonly field: 'data' | 'stringData' | 'value' }[] = [];
    cursor.object((key) => {
      cursor.peek();
      const at = cursor.at;
      if (key === 'kind' && cursor.peek() === quote) {
        // With two kinds in one object, any reader may believe either.
        const kind = cursor.text(cursor.string());
        secret ||= kind === 'Secret';
      } else if (key === lastApplied && cursor.peek() === quote) {
        this.#lastApplied();
      } else {
        if (key === 'data' || key === 'stringData' || (this.#patch && key === 'value')) held.push({ at, field: key });
        this.#value();
      }
    });
    if (!secret || held.length === 0) return;
    const end = cursor.at;
    // What was found inside the fields so far gives way: here every value is a secret.
    const inner = this.#splices.splice(before);
    for (const { at, field } of held) {
      cursor.at = at;
      this.#secretLeaves(field === 'data' ? 'base64' : 'plain');
    }
    const own = this.#splices.splice(before);
    const covered = (one: Splice): boolean => own.some((other) => one.start >= other.start && one.end <= other.end);
    this.#splices.push(...own, ...inner.filter((one) => !covered(one)));
    cursor.at = end;
  }

  /** Masks every scalar but `null`, which only says that a key goes away. */
  #secretLeaves(encoding: 'base64' | 'plain'): void {
    const cursor = this.#cursor;
    switch (cursor.peek()) {
      case openBrace:
        return this.#nested(() => cursor.object(() => this.#secretLeaves(encoding)));
      case openBracket:
        return this.#nested(() => cursor.array(() => this.#secretLeaves(encoding)));
      case quote: {
        const span = cursor.string();
        if (span.end === span.start) return;
        const text = cursor.text(span);
        const mask = this.#newMask(encoding === 'base64' ? Buffer.from(text, 'base64') : Buffer.from(text));
        const shown = encoding === 'base64' ? Buffer.from(mask).toString('base64') : mask;
        this.#splices.push({ start: span.start, end: span.end, text: shown });
        return;
      }
      default: {
        const span = cursor.scalar();
        const text = cursor.bytes.toString('latin1', span.start, span.end);
        if (text !== 'null') this.#splices.push({ ...span, text: JSON.stringify(this.#newMask(Buffer.from(text))) });
      }
    }
  }

  /** Masks inside the manifest; all of it, where it is not a JSON text. */
  #lastApplied(): void {
    const span = this.#cursor.string();
    const manifest = Buffer.from(this.#cursor.text(span));
    let masked: string;
    try {
      const inner = new Walk(manifest, this.#newMask, this.#secrets, false).splices();
      if (inner.length === 0) return;
      masked = splice(manifest, inner).toString();
    } catch {
      masked = this.#newMask(manifest);
    }
    this.#splices.push({ start: span.start, end: span.end, text: JSON.stringify(masked).slice(1, -1) });
  }
}

function splice(bytes: Buffer, splices: readonly Splice[]): Buffer {
  if (splices.length === 0) return bytes;
  const parts: Buffer[] = [];
  let at = 0;
  for (const { start, end, text } of [...splices].sort((a, b) => a.start - b.start)) {
    parts.push(bytes.subarray(at, start), Buffer.from(text));
    at = end;
  }
  parts.push(bytes.subarray(at));
  return Buffer.concat(parts);
}

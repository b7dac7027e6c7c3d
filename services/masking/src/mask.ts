// Masks secrets inside JSON, in place: every byte outside a mask stays as it was. Pure.
import type { KeyObject } from 'node:crypto';
import { JsonCursor, maxDepth, openBrace, openBracket, quote, type StringSpan } from '@sluice/kube';
import { isSecretField, isSecretName, type MaskRequest } from '@sluice/model';
import { suspects } from './detect.ts';
import { createMaskValues, type NewMask } from './mask-values.ts';
import { packRelease, secretsOfManifests, unpackRelease } from './release.ts';
import { escaped, type Splice, spliced, unescaped } from './splice.ts';
import { isSecretEntry, isSecretFlag, type Place, Surroundings } from './surroundings.ts';

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
    /** Where the masks were put, in the bytes given, and why; not in order. */
    readonly splices: readonly Splice[];
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
      return { bytes: spliced(value, splices), masks: splices.length, secrets, splices };
    },
  };
}

interface What {
  readonly newMask: NewMask;
  readonly surroundings: Surroundings;
  /** What the URL says: whatever looks like a field of such an object is one, whatever its own kind says. */
  readonly kind: 'Secret' | 'ConfigMap' | '';
  /** `release`: what Helm keeps of one; manifests are texts in it, and values have names of all kinds. */
  readonly form: 'object' | 'json-patch' | 'release';
}

/** How a value is written: `base64` is what `data` of Secrets and `binaryData` hold. */
type Encoding = 'base64' | 'plain';

/** A field whose meaning depends on the kind, which may stand behind it. */
interface Held {
  readonly at: number;
  readonly field: 'data' | 'stringData' | 'binaryData' | 'value';
}

/** A value to go back to. */
interface Spot {
  readonly at: number;
  readonly mask: () => void;
}

/** An object is walked so often, at most; those of Kubernetes are walked twice. */
const maxAgain = 16;

class Walk {
  readonly #cursor: JsonCursor;
  readonly #what: What;
  /** Where a detector would look; found in one pass over all. */
  readonly #suspects: readonly number[];
  #splices: Splice[] = [];
  /** Texts that were masked: cells of a Table may print them. */
  readonly #texts = new Set<string>();
  #depth = 0;
  /** Bytes that were walked more than once. */
  #walkedAgain = 0;

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
    if (place.isMasked) return this.#maskAll('plain', whys.rule);
    switch (cursor.peek()) {
      case openBrace:
        return this.#nested(() => this.#object(place));
      case openBracket:
        return this.#nested(() => this.#array(place));
      case quote: {
        const span = cursor.string();
        if (this.#what.form === 'release' && place.name === 'manifest') this.#manifests(span);
        else if (this.#isNamedSecret(place.name)) this.#maskString(span, 'plain', named(place.name));
        else this.#detect(span);
        return;
      }
      default:
        cursor.scalar();
    }
  }

  #isNamedSecret(name: string): boolean {
    return this.#what.form === 'release' ? isSecretName(name) : isSecretField(name);
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
    let flag = '';
    cursor.array(() => {
      if (cursor.peek() !== quote || inside.isMasked) {
        flag = '';
        return this.#value(inside);
      }
      const { at } = cursor;
      const span = cursor.string();
      const text = cursor.text(span);
      if (flag !== '' && !text.startsWith('-')) this.#maskString(span, 'plain', `argument of ${flag}`);
      else {
        cursor.at = at;
        this.#value(inside);
      }
      flag = isSecretFlag(text) ? text : '';
    });
  }

  /** The kind of an object may stand after its fields, so what some of them are is settled at its end. */
  #object(place: Place): void {
    const cursor = this.#cursor;
    const before = this.#splices.length;
    let isSecret = this.#what.kind === 'Secret';
    let isConfigMap = this.#what.kind === 'ConfigMap';
    let held: Held[] | undefined;
    let entryName = '';
    let entryValue: StringSpan | undefined;
    let cells: number | undefined;
    cursor.object((key, span) => {
      const isString = cursor.peek() === quote;
      const { at } = cursor;
      if (key[1] === ':' && (key[0] === 'v' || key[0] === 'k')) this.#detect(span);
      if (key === 'kind' && isString) {
        // With two kinds in one object, any reader may believe either.
        const kind = cursor.text(cursor.string());
        isSecret ||= kind === 'Secret';
        isConfigMap ||= kind === 'ConfigMap';
      } else if (key === lastApplied && isString) {
        this.#manifest(cursor.string());
      } else {
        if (key === 'data' || key === 'stringData' || key === 'binaryData') (held ??= []).push({ at, field: key });
        if (key === 'cells') cells = at;
        if (isString && key === 'name') entryName = cursor.text(this.#peekString());
        else if (isString && key === 'value') entryValue = this.#peekString();
        this.#value(this.#what.surroundings.field(place, key));
      }
    });
    const end = cursor.at;
    if (entryValue !== undefined && isSecretEntry(entryName))
      this.#again(before, [{ at: entryValue.start - 1, mask: () => this.#maskAll('plain', named(entryName)) }]);
    if (held !== undefined && isSecret) this.#secret(before, held);
    else if (held !== undefined && isConfigMap) this.#configMap(before, held);
    if (cells !== undefined && this.#splices.length > before) this.#cells(before, cells);
    cursor.at = end;
  }

  #secret(before: number, held: readonly Held[]): void {
    const spots = held
      .filter(({ field }) => field !== 'binaryData')
      .map(({ at, field }): Spot => {
        const mask = (): void => (field === 'data' ? this.#secretData() : this.#maskAll('plain', whys.secret));
        return { at, mask };
      });
    this.#again(before, spots);
  }

  #secretData(): void {
    const cursor = this.#cursor;
    if (cursor.peek() !== openBrace) return this.#maskAll('base64', whys.secret);
    this.#nested(() =>
      cursor.object((key) => {
        const { at } = cursor;
        if (key === 'release' && cursor.peek() === quote && this.#release(cursor.string())) return;
        cursor.at = at;
        this.#maskAll('base64', whys.secret);
      }),
    );
  }

  /** `false` where it is no release that can be masked from the inside. */
  #release(span: StringSpan): boolean {
    const json = unpackRelease(this.#cursor.text(span));
    if (json === null) return false;
    let splices: readonly Splice[];
    try {
      splices = new Walk(json, { ...this.#what, kind: '', form: 'release' }).splices();
    } catch {
      return false;
    }
    const why = `${splices.length} values in a Helm release`;
    if (splices.length > 0)
      this.#splices.push({ start: span.start, end: span.end, text: packRelease(spliced(json, splices)), why });
    return true;
  }

  /** YAML, as Helm rendered it. */
  #manifests(span: StringSpan): void {
    const { text, places } = unescaped(this.#cursor.bytes, span);
    const { newMask, surroundings } = this.#what;
    const values = secretsOfManifests(text);
    const put = (start: number, end: number, mask: string, why: string): void => {
      const [from, to] = [places[start] as number, places[end] as number];
      this.#splices.push({ start: from, end: to, text: escaped(mask), why });
    };
    for (const { start, end, secret, encoding } of values) {
      const mask = newMask(secret);
      put(start, end, encoding === 'base64' ? Buffer.from(mask).toString('base64') : mask, whys.secret);
    }
    for (const { start, end, by } of surroundings.find(text)) {
      if (values.some((value) => start < value.end && value.start < end)) continue;
      put(start, end, newMask(text.subarray(start, end)), `detector ${by}`);
    }
  }

  /** Entries with a secret's name, and binary ones in which a detector finds something. */
  #configMap(before: number, held: readonly Held[]): void {
    const cursor = this.#cursor;
    const spots: Spot[] = [];
    for (const { at, field } of held) {
      cursor.at = at;
      if (cursor.peek() !== openBrace || field === 'stringData') continue;
      const encoding: Encoding = field === 'binaryData' ? 'base64' : 'plain';
      cursor.object((key) => {
        const isString = cursor.peek() === quote;
        const { at: start } = cursor;
        const span = isString ? cursor.string() : undefined;
        if (span === undefined) return this.#skip();
        const isBinarySecret = (): boolean =>
          this.#what.surroundings.find(Buffer.from(cursor.text(span), 'base64')).length > 0;
        if (isSecretName(key)) spots.push({ at: start, mask: () => this.#maskAll(encoding, named(key)) });
        else if (encoding === 'base64' && isBinarySecret())
          spots.push({ at: start, mask: () => this.#maskAll(encoding, whys.binary) });
      });
    }
    this.#again(before, spots);
  }

  #cells(before: number, cells: number): void {
    const cursor = this.#cursor;
    cursor.at = cells;
    if (cursor.peek() !== openBracket) return;
    const spots: Spot[] = [];
    cursor.array(() => {
      if (cursor.peek() !== quote) return this.#skip();
      const { at } = cursor;
      if (this.#texts.has(cursor.text(cursor.string())))
        spots.push({ at, mask: () => this.#maskAll('plain', whys.cell) });
    });
    this.#again(before, spots);
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
      const mask = (): void => this.#maskAll('plain', whys.secret);
      this.#again(
        this.#splices.length,
        values.map((at) => ({ at, mask })),
      );
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
    const place = surroundings.at(names);
    const last = names.at(-1) ?? '';
    // The name that goes with a variable's value is not in the patch.
    const isEntryValue = last === 'value' && /^(\d+|-)$/.test(names.at(-2) ?? '');
    const isEntry = kind === 'ConfigMap' && names.length > 1 && isSecretName(last);
    this.#cursor.at = at;
    if (isEntryValue || isEntry || place.isMasked)
      this.#maskAll('plain', place.isMasked ? whys.rule : isEntry ? named(last) : whys.entry);
    else if (last === lastApplied && this.#cursor.peek() === quote) this.#manifest(this.#cursor.string());
    else this.#value(place);
  }

  /**
   * Goes back to values that have been walked, in their order, and masks them: what was found inside gives way. `before`:
   * how many replacements there were when their object began.
   */
  #again(before: number, spots: readonly Spot[]): void {
    if (spots.length === 0) return;
    const cursor = this.#cursor;
    const inner = this.#splices.splice(before).sort((a, b) => a.start - b.start);
    let next = 0;
    for (const { at, mask } of spots.toSorted((a, b) => a.at - b.at)) {
      cursor.at = at;
      this.#skip();
      const end = cursor.at;
      this.#walkedAgain += end - at;
      // Objects within objects could make this go on and on.
      if (this.#walkedAgain > maxAgain * cursor.bytes.length) throw cursor.error();
      for (; next < inner.length && (inner[next] as Splice).end <= at; next++)
        this.#splices.push(inner[next] as Splice);
      while (next < inner.length && (inner[next] as Splice).start < end) next++;
      cursor.at = at;
      cursor.peek();
      mask();
    }
    for (; next < inner.length; next++) this.#splices.push(inner[next] as Splice);
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
  #maskAll(encoding: Encoding, why: string): void {
    const cursor = this.#cursor;
    switch (cursor.peek()) {
      case openBrace:
        return this.#nested(() => cursor.object(() => this.#maskAll(encoding, why)));
      case openBracket:
        return this.#nested(() => cursor.array(() => this.#maskAll(encoding, why)));
      case quote:
        return this.#maskString(cursor.string(), encoding, why);
      default: {
        const span = cursor.scalar();
        const text = cursor.bytes.toString('latin1', span.start, span.end);
        if (text === 'null') return;
        this.#splices.push({ ...span, text: JSON.stringify(this.#what.newMask(Buffer.from(text))), why });
      }
    }
  }

  #maskString(span: StringSpan, encoding: Encoding, why: string): void {
    if (span.end === span.start) return;
    const text = this.#cursor.text(span);
    const secret = encoding === 'base64' ? Buffer.from(text, 'base64') : Buffer.from(text);
    // What is masked already stays: a mask of a mask would stand for nothing.
    if (maskForm.test(secret.toString('latin1', 0, maxMask)) || maskForm.test(text)) return;
    this.#texts.add(text);
    const mask = this.#what.newMask(secret);
    const shown = encoding === 'base64' ? Buffer.from(mask).toString('base64') : mask;
    this.#splices.push({ start: span.start, end: span.end, text: shown, why });
  }

  /** Masks what detectors find in a string. */
  #detect(span: StringSpan): void {
    const { surroundings } = this.#what;
    if (!span.escaped && !surroundings.looksEverywhere && !this.#isSuspect(span)) return;
    const { bytes } = this.#cursor;
    const { text, places } = span.escaped ? unescaped(bytes, span) : { text: bytes.subarray(span.start, span.end) };
    const place = (at: number): number => places?.[at] ?? span.start + at;
    for (const { start, end, by } of surroundings.find(text)) {
      const secret = text.subarray(start, end);
      this.#texts.add(secret.toString());
      this.#splices.push({
        start: place(start),
        end: place(end),
        text: this.#what.newMask(secret),
        why: by === 'pattern' ? whys.pattern : `detector ${by}`,
      });
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
      return this.#maskString(span, 'plain', whys.manifest);
    }
    for (const { start, end, text: mask, why } of inner) {
      const [from, to] = [places[start] as number, places[end] as number];
      this.#splices.push({ start: from, end: to, text: escaped(mask), why: `${why}, in what was last applied` });
    }
  }
}

/** Why a value is masked, for people. */
const whys = {
  secret: 'value of a Secret',
  rule: 'rule of a policy',
  pattern: 'pattern of a policy',
  binary: 'a detector, in what is base64 here',
  cell: 'prints a masked value',
  entry: 'value of a variable whose name is elsewhere',
  manifest: 'a manifest that cannot be read',
} as const;

function named(name: string): string {
  return `name ${name}`;
}

/** A whole mask, and nothing else. */
const maskForm = /^sluice-mask:v1:[0-9a-f]{8}:[A-Za-z0-9_-]{16}$/;
const maxMask = 64;

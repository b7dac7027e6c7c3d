// Masks secrets inside JSON, in place: every byte outside a mask stays as it was. Pure.
import type { KeyObject } from 'node:crypto';
import { JsonCursor, openBrace, openBracket, quote, type StringSpan } from '@sluice/kube';
import { isSecretField, isSecretName, type MaskRequest } from '@sluice/model';
import { createMaskValues, type NewMask } from './mask-values.ts';
import { packRelease, secretsOfManifests, unpackRelease } from './release.ts';
import { type Encoding, named, Replacements, type Spot, whys } from './replacements.ts';
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

/** A field whose meaning depends on the kind, which may stand behind it. */
interface Held {
  readonly at: number;
  readonly field: 'data' | 'stringData' | 'binaryData' | 'value';
}

class Walk {
  readonly #cursor: JsonCursor;
  readonly #what: What;
  readonly #put: Replacements;

  constructor(value: Buffer, what: What) {
    this.#cursor = new JsonCursor(value);
    this.#what = what;
    this.#put = new Replacements(this.#cursor, what.newMask, what.surroundings);
  }

  splices(): readonly Splice[] {
    const { root } = this.#what.surroundings;
    if (this.#what.form === 'json-patch' && this.#cursor.peek() === openBracket)
      this.#put.nested(() => this.#cursor.array(() => this.#operation()));
    else this.#value(root);
    this.#cursor.end();
    return this.#put.all;
  }

  #value(place: Place): void {
    const cursor = this.#cursor;
    if (place.isMasked) return this.#put.maskAll('plain', whys.rule);
    switch (cursor.peek()) {
      case openBrace:
        return this.#put.nested(() => this.#object(place));
      case openBracket:
        return this.#put.nested(() => this.#array(place));
      case quote: {
        const span = cursor.string();
        if (this.#what.form === 'release' && place.name === 'manifest') this.#manifests(span);
        else if (this.#isNamedSecret(place.name)) this.#put.maskString(span, 'plain', named(place.name));
        else this.#put.detect(span);
        return;
      }
      default:
        cursor.scalar();
    }
  }

  #isNamedSecret(name: string): boolean {
    return this.#what.form === 'release' ? isSecretName(name) : isSecretField(name);
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
      if (flag !== '' && !text.startsWith('-')) this.#put.maskString(span, 'plain', `argument of ${flag}`);
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
    const before = this.#put.all.length;
    let isSecret = this.#what.kind === 'Secret';
    let isConfigMap = this.#what.kind === 'ConfigMap';
    let held: Held[] | undefined;
    let entryName = '';
    let entryValue: StringSpan | undefined;
    let cells: number | undefined;
    cursor.object((key, span) => {
      const isString = cursor.peek() === quote;
      const { at } = cursor;
      if (key[1] === ':' && (key[0] === 'v' || key[0] === 'k')) this.#put.detect(span);
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
        if (isString && key === 'name') entryName = cursor.text(this.#put.peekString());
        else if (isString && key === 'value') entryValue = this.#put.peekString();
        this.#value(this.#what.surroundings.field(place, key));
      }
    });
    const end = cursor.at;
    if (entryValue !== undefined && isSecretEntry(entryName))
      this.#put.again(before, [{ at: entryValue.start - 1, mask: () => this.#put.maskAll('plain', named(entryName)) }]);
    if (held !== undefined && isSecret) this.#secret(before, held);
    else if (held !== undefined && isConfigMap) this.#configMap(before, held);
    if (cells !== undefined && this.#put.all.length > before) this.#cells(before, cells);
    cursor.at = end;
  }

  #secret(before: number, held: readonly Held[]): void {
    const spots = held
      .filter(({ field }) => field !== 'binaryData')
      .map(({ at, field }): Spot => {
        const mask = (): void => (field === 'data' ? this.#secretData() : this.#put.maskAll('plain', whys.secret));
        return { at, mask };
      });
    this.#put.again(before, spots);
  }

  #secretData(): void {
    const cursor = this.#cursor;
    if (cursor.peek() !== openBrace) return this.#put.maskAll('base64', whys.secret);
    this.#put.nested(() =>
      cursor.object((key) => {
        const { at } = cursor;
        if (key === 'release' && cursor.peek() === quote && this.#release(cursor.string())) return;
        cursor.at = at;
        this.#put.maskAll('base64', whys.secret);
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
      this.#put.all.push({ start: span.start, end: span.end, text: packRelease(spliced(json, splices)), why });
    return true;
  }

  /** YAML, as Helm rendered it. */
  #manifests(span: StringSpan): void {
    const { text, places } = unescaped(this.#cursor.bytes, span);
    const { newMask, surroundings } = this.#what;
    const values = secretsOfManifests(text);
    const put = (start: number, end: number, mask: string, why: string): void => {
      const [from, to] = [places[start] as number, places[end] as number];
      this.#put.all.push({ start: from, end: to, text: escaped(mask), why });
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
        if (span === undefined) return this.#put.skip();
        const isBinarySecret = (): boolean =>
          this.#what.surroundings.find(Buffer.from(cursor.text(span), 'base64')).length > 0;
        if (isSecretName(key)) spots.push({ at: start, mask: () => this.#put.maskAll(encoding, named(key)) });
        else if (encoding === 'base64' && isBinarySecret())
          spots.push({ at: start, mask: () => this.#put.maskAll(encoding, whys.binary) });
      });
    }
    this.#put.again(before, spots);
  }

  #cells(before: number, cells: number): void {
    const cursor = this.#cursor;
    cursor.at = cells;
    if (cursor.peek() !== openBracket) return;
    const spots: Spot[] = [];
    cursor.array(() => {
      if (cursor.peek() !== quote) return this.#put.skip();
      const { at } = cursor;
      if (this.#put.texts.has(cursor.text(cursor.string())))
        spots.push({ at, mask: () => this.#put.maskAll('plain', whys.cell) });
    });
    this.#put.again(before, spots);
  }

  /** An operation of RFC 6902: its value stands where its path says. */
  #operation(): void {
    const cursor = this.#cursor;
    if (cursor.peek() !== openBrace) return this.#value(this.#what.surroundings.root);
    let path: string | undefined;
    const values: number[] = [];
    const start = cursor.at;
    this.#put.nested(() =>
      cursor.object((key) => {
        const isString = cursor.peek() === quote;
        if (key === 'value') values.push(cursor.at);
        if (key === 'path' && isString) path = cursor.text(cursor.string());
        else this.#put.skip();
      }),
    );
    const end = cursor.at;
    cursor.at = start;
    if (this.#what.kind === 'Secret') {
      const mask = (): void => this.#put.maskAll('plain', whys.secret);
      this.#put.again(
        this.#put.all.length,
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
      this.#put.maskAll('plain', place.isMasked ? whys.rule : isEntry ? named(last) : whys.entry);
    else if (last === lastApplied && this.#cursor.peek() === quote) this.#manifest(this.#cursor.string());
    else this.#value(place);
  }

  /** Masks inside a manifest; all of it, where it is not a JSON text. */
  #manifest(span: StringSpan): void {
    const { text, places } = unescaped(this.#cursor.bytes, span);
    let inner: readonly Splice[];
    try {
      inner = new Walk(text, { ...this.#what, form: 'object' }).splices();
    } catch {
      return this.#put.maskString(span, 'plain', whys.manifest);
    }
    for (const { start, end, text: mask, why } of inner) {
      const [from, to] = [places[start] as number, places[end] as number];
      this.#put.all.push({ start: from, end: to, text: escaped(mask), why: `${why}, in what was last applied` });
    }
  }
}

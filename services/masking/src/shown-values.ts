// What agents were shown masked, as fingerprints in the broker: any worker learns, and any worker finds.
import { createHmac, type KeyObject } from 'node:crypto';
import { type MaskRequest, shown } from '@sluice/model';
import type { LastValues } from '@sluice/runtime';
import { openSeal, seal } from '@sluice/runtime/raw';
import { Fingerprints } from './fingerprint.ts';
import { innerValues } from './inner-values.ts';
import { decodeFingerprints, encodeFingerprints, type Fingerprint, KnownSet } from './known-set.ts';
import { minValueBytes } from './value-forms.ts';

type Agent = MaskRequest['agent'];

/** Of an agent so many are kept, about 2,000 values; the oldest go first. */
const maxFingerprints = 16_000;
/** What another worker has learned is known after this, at the latest. Milliseconds. */
const freshMs = 1_000;
const maxAgents = 256;
const maxTries = 8;

interface Entry {
  readonly seq: number;
  readonly set: KnownSet;
  /** Values whose fingerprints are in the set, by `idOf`. */
  readonly ids: Set<string>;
  readonly readAtMs: number;
}

export class ShownValues {
  readonly #store: LastValues;
  readonly #sealKey: KeyObject;
  readonly #prints: Fingerprints;
  readonly #nameKey: KeyObject;
  readonly #entries = new Map<string, Entry>();
  /** One change after another, for each agent. */
  readonly #learning = new Map<string, Promise<unknown>>();

  /** `masksKey` makes fingerprints, `sealKey` seals them. */
  constructor(store: LastValues, masksKey: KeyObject, sealKey: KeyObject) {
    this.#store = store;
    this.#sealKey = sealKey;
    this.#nameKey = masksKey;
    this.#prints = new Fingerprints(masksKey);
  }

  get prints(): Fingerprints {
    return this.#prints;
  }

  /** What the agent has been shown. `isFirst`: of a text; what any worker has learned until now is in it. */
  async of(agent: Agent, { isFirst }: { readonly isFirst: boolean }): Promise<KnownSet> {
    const name = this.#nameOf(agent);
    const entry = this.#entries.get(name);
    if (entry !== undefined && !isFirst && performance.now() - entry.readAtMs < freshMs) return entry.set;
    return (await this.#read(name)).set;
  }

  /** Remembers values before the agent sees their masks. Throws when the broker does not take them. */
  async learn(agent: Agent, values: readonly Buffer[]): Promise<void> {
    const worth = values.filter((value) => value.length >= minValueBytes);
    if (worth.length === 0) return;
    const name = this.#nameOf(agent);
    const known = this.#entries.get(name);
    const ids = new Map(worth.map((value) => [this.#prints.idOf(value), value]));
    for (const id of ids.keys()) if (known?.ids.has(id)) ids.delete(id);
    if (ids.size === 0) return;
    const before = this.#learning.get(name) ?? Promise.resolve();
    const learned = before.catch(() => undefined).then(() => this.#add(name, ids));
    this.#learning.set(name, learned);
    try {
      await learned;
    } finally {
      if (this.#learning.get(name) === learned) this.#learning.delete(name);
    }
  }

  async #add(name: string, ids: ReadonlyMap<string, Buffer>): Promise<void> {
    const added = [...ids.values()]
      .flatMap((value) => [value, ...innerValues(value)])
      .flatMap((value) => this.#prints.of(value));
    let entry = this.#entries.get(name) ?? (await this.#read(name));
    for (let tries = 0; tries < maxTries; tries++) {
      const all = distinct([...entry.set.all, ...added]).slice(-maxFingerprints);
      const sealed = seal(this.#sealKey, { kind: 'shown', to: Buffer.from(name) }, [encodeFingerprints(all)]);
      const seq = await this.#store.replace(shown.of(name), sealed, entry.seq);
      if (seq !== null) {
        // What was dropped for being old may be asked about again: then it is learned again.
        const kept = all.length < maxFingerprints ? [...entry.ids, ...ids.keys()] : ids.keys();
        this.#keep(name, { seq, set: new KnownSet(all), ids: new Set(kept), readAtMs: performance.now() });
        return;
      }
      entry = await this.#read(name);
    }
    throw new Error('the values that were shown could not be remembered: other workers were always faster');
  }

  async #read(name: string): Promise<Entry> {
    const { seq, payload } = await this.#store.get(shown.of(name));
    const old = this.#entries.get(name);
    const readAtMs = performance.now();
    if (old?.seq === seq) {
      const entry = { ...old, readAtMs };
      this.#keep(name, entry);
      return entry;
    }
    const all =
      seq === 0 ? [] : decodeFingerprints(openSeal(this.#sealKey, { kind: 'shown', to: Buffer.from(name) }, payload));
    const entry = { seq, set: new KnownSet(all), ids: new Set<string>(), readAtMs };
    this.#keep(name, entry);
    return entry;
  }

  #keep(name: string, entry: Entry): void {
    this.#entries.delete(name);
    this.#entries.set(name, entry);
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > maxAgents && oldest !== undefined) this.#entries.delete(oldest);
  }

  #nameOf({ issuer, name }: Agent): string {
    return createHmac('sha256', this.#nameKey)
      .update(JSON.stringify(['shown', issuer, name]))
      .digest('hex')
      .slice(0, 32);
  }
}

function distinct(all: readonly Fingerprint[]): Fingerprint[] {
  // Learned again is learned last.
  const by = new Map<string, Fingerprint>();
  for (const one of all) {
    const id = one.hmac.toString('latin1');
    by.delete(id);
    by.set(id, one);
  }
  return [...by.values()];
}

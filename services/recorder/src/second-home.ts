import { closeSync, fdatasyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Frame, type FrameMeta, type SealKey, type SignedHead, sealHolds } from '@sluice/model';
import type { Logger } from '@sluice/runtime';

/**
 * Where seals go besides the record: whoever has the database alone cannot change what stands there. Files
 * `seals-YYYY-MM-DD.jsonl` in a directory, one `SignedHead` per line, 0600. A line may stand there twice.
 */
export class SecondHome {
  readonly #dir: string;
  readonly #log: Logger;
  /** The key of a ledger as its first frame in the record says. */
  readonly #keyOf: (ledger: string) => Promise<SealKey | null>;
  readonly #keys = new Map<string, SealKey>();
  #day = '';
  #file = -1;

  constructor(dir: string, keyOf: (ledger: string) => Promise<SealKey | null>, log: Logger) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    this.#dir = dir;
    this.#keyOf = keyOf;
    this.#log = log;
  }

  /** Keeps the seals among frames that are in the record now. On disk when it returns; throws when it cannot. */
  async keep(frames: readonly Frame[]): Promise<void> {
    let isWritten = false;
    for (const frame of frames) {
      if (frame.kind === 'opened') this.#keys.set(frame.ledger, (JSON.parse(frame.meta) as FrameMeta['opened']).key);
      if (frame.kind !== 'seal') continue;
      const head = await this.#signedHead(frame);
      if (head === null) {
        this.#log.error(
          { ledger: frame.ledger, seq: frame.seq },
          'a seal does not hold: its ledger is not what its writer signed',
        );
        continue;
      }
      writeSync(this.#fileFor(head.at.slice(0, 10)), `${JSON.stringify(head)}\n`);
      isWritten = true;
    }
    if (isWritten) fdatasyncSync(this.#file);
  }

  async #signedHead(seal: Frame): Promise<SignedHead | null> {
    const { ledger } = seal;
    const key = this.#keys.get(ledger) ?? (await this.#keyOf(ledger));
    if (key === null) return null;
    this.#keys.set(ledger, key);
    const head = { ledger, seq: seal.seq - 1, hash: Buffer.from(seal.prev).toString('hex') };
    const { signature } = JSON.parse(seal.meta) as FrameMeta['seal'];
    return sealHolds(key, head, signature) ? { at: new Date().toISOString(), ...head, key, signature } : null;
  }

  #fileFor(day: string): number {
    if (day !== this.#day) {
      if (this.#file >= 0) closeSync(this.#file);
      this.#file = openSync(join(this.#dir, `seals-${day}.jsonl`), 'a', 0o600);
      this.#day = day;
    }
    return this.#file;
  }
}

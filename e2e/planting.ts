// Rows of a table that each plant a secret of their own and a marker of their own, and where in bytes they are found again.
import assert from 'node:assert/strict';
import { filesUnder, formsOf, until } from '@sluice/testing';
import type { Planted } from './surfaces.ts';

const canary = 'canary8f3b1c5e7a9d2046';
const marker = 'marker8f3b1c5e7a9d2046';

export class Planting<Row extends { readonly name: string }> {
  readonly #rows: readonly Row[];

  constructor(rows: readonly Row[]) {
    this.#rows = rows;
  }

  of(row: Row): Planted {
    // In base64 the last bytes cannot be looked for: they are none of the number's.
    const tail = (at: number): string => `row${String(at).padStart(2, '0')}tail`;
    const own = tail(this.#rows.indexOf(row));
    return { secret: `${canary}${own}`, marker: `${marker}${own}`, known: `${canary}${tail(0)}` };
  }

  /** Names of the rows whose secret or marker stands in the bytes. */
  found(what: 'secret' | 'marker', bytes: readonly (Uint8Array | string)[]): string[] {
    const texts = bytes.map((one) => (typeof one === 'string' ? one : Buffer.from(one)));
    const has = (whole: string): boolean => texts.some((text) => formsOf(whole).some((form) => text.includes(form)));
    if (!has(what === 'secret' ? canary : marker)) return [];
    const rows = this.#rows.filter((row) => has(this.of(row)[what]));
    return rows.length === 0 ? ['a row unknown'] : rows.map(({ name }) => name);
  }

  /** Names of those of the rows whose marker does not stand in the bytes. */
  missed(rows: readonly Row[], bytes: readonly (Uint8Array | string)[]): string[] {
    const seen = this.found('marker', bytes);
    return rows.map(({ name }) => name).filter((name) => !seen.includes(name));
  }

  /** What a place holds once it has the markers of all the rows: the last of it may be on its way when the agent has its answer. */
  async arrived(rows: readonly Row[], look: () => readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    let bytes: readonly Uint8Array[] = [];
    let missed: readonly string[] = [];
    await until('the markers', () => {
      missed = [];
      bytes = look();
      missed = this.missed(rows, bytes);
      return missed.length === 0;
    }).catch((error: unknown) => {
      assert.deepEqual(missed, [], 'markers not seen');
      throw error;
    });
    return bytes;
  }
}

/** Contents of all files in all folders. */
export function contentsUnder(folder: string): Buffer[] {
  return Array.from(filesUnder(folder), ({ bytes }) => bytes);
}

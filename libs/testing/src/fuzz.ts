// Fuzzing without a tool of its own: targets say what must hold for any bytes, this makes the bytes.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { test } from 'node:test';

/** A parser or a transformation, with what must hold of it for any input. `*.fuzz.ts` files export these. */
export interface FuzzTarget {
  readonly name: string;
  /** A folder of inputs to begin with: `*.hex` are hexadecimal with `#` comments, other files are the bytes themselves. */
  readonly corpus: URL;
  /** Words of the format, which mutation puts in whole. */
  readonly words?: readonly Buffer[];
  /** Of an input. 4096 by default. */
  readonly maxBytes?: number;
  /**
   * Runs one input and asserts. Whatever it throws is a finding, so it catches the errors that the code declares. Returns
   * in a few words what the input did (`opened data reset`): one that did something new is mutated further.
   */
  run(input: Buffer, random: Random): string | Promise<string>;
}

/** Choices that repeat with their seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 to one less than `limit`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}

/** What a run ended with: how many inputs, and how many outcomes that differ. */
export interface FuzzResult {
  readonly runs: number;
  readonly outcomes: number;
}

/** A finding. `input` is what brought it about, made as small as it could be. */
export class FuzzError extends Error {
  readonly input: Buffer;

  constructor(target: string, seed: number, input: Buffer, cause: unknown) {
    super(`${target}, seed ${seed}: ${String(cause)}\ninput ${input.toString('hex')}`, { cause });
    this.input = input;
  }
}

/** Kept for further mutation; an outcome beyond these is not new any more. */
const maxKept = 5000;

/**
 * Runs the corpus, then mutations of it, until `isDone` says so of the number of runs. Throws `FuzzError` at the first
 * finding. The same seed makes the same inputs.
 */
export async function fuzz(target: FuzzTarget, seed: number, isDone: (runs: number) => boolean): Promise<FuzzResult> {
  const random = new Random(seed);
  const kept = readCorpus(target.corpus);
  assert.ok(kept.length > 0, `no corpus in ${target.corpus.href}`);
  const outcomes = new Set<string>();
  let runs = 0;
  const run = async (input: Buffer): Promise<boolean> => {
    runs += 1;
    // A finding must come again with the input alone, so its choices are its own.
    const outcome = await target.run(input, new Random(seed));
    if (outcomes.has(outcome) || outcomes.size >= maxKept) return false;
    outcomes.add(outcome);
    return true;
  };
  const tryRun = async (input: Buffer): Promise<boolean> => {
    try {
      return await run(input);
    } catch (error) {
      throw new FuzzError(target.name, seed, await shrink(target, seed, input), error);
    }
  };
  for (const input of [Buffer.alloc(0), ...kept]) await tryRun(input);
  while (!isDone(runs)) {
    const input = mutate(random, kept, target.words ?? []).subarray(0, target.maxBytes ?? 4096);
    if (await tryRun(input)) kept.push(input);
  }
  return { runs, outcomes: outcomes.size };
}

/** A test of each target in the ordinary suite: a second or so of inputs, the same ones every time. */
export function testBriefly(targets: readonly FuzzTarget[], runs = 5000): void {
  for (const target of targets) {
    test(`${target.name} keeps its promises for ${runs} inputs`, async () => {
      const { outcomes } = await fuzz(target, 1, (done) => done >= runs);
      assert.ok(outcomes > 2, 'all inputs end alike: the corpus reaches nothing');
    });
  }
}

/** The input in pieces, as a socket may deliver it: whole, byte by byte, or cut anywhere. */
export function cut(input: Buffer, random: Random): Buffer[] {
  const form = random.below(4);
  if (form === 0) return [input];
  const pieces: Buffer[] = [];
  for (let at = 0; at < input.length; ) {
    const length = form === 1 ? 1 : 1 + random.below(form === 2 ? 16 : input.length);
    pieces.push(input.subarray(at, at + length));
    at += length;
  }
  return pieces;
}

function readCorpus(folder: URL): Buffer[] {
  return readdirSync(folder)
    .toSorted()
    .map((file) => {
      const bytes = readFileSync(new URL(file, folder));
      return extname(file) === '.hex' ? Buffer.from(bytes.toString().replaceAll(/#.*|\s/g, ''), 'hex') : bytes;
    });
}

const edges = [0, 1, 2, 3, 4, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0xffffff, 0x7fffffff, 0x80000000];

/** One input made of others, by one change or several. */
function mutate(random: Random, kept: readonly Buffer[], words: readonly Buffer[]): Buffer {
  let input: Buffer = Buffer.from(random.of(kept));
  for (let changes = 1 + random.below(4); changes > 0; changes -= 1) {
    const at = random.below(input.length + 1);
    const end = Math.min(input.length, at + 1 + random.below(random.of([1, 4, 16, 64])));
    switch (random.below(9)) {
      case 0:
        if (at < input.length) input[at] = (input[at] as number) ^ (1 << random.below(8));
        break;
      case 1:
        if (at < input.length) input[at] = random.below(256);
        break;
      case 2:
        input = Buffer.concat([input.subarray(0, at), input.subarray(end)]);
        break;
      case 3:
        input = Buffer.concat([input.subarray(0, end), input.subarray(at)]);
        break;
      case 4:
        input = Buffer.concat([input.subarray(0, at), noise(random), input.subarray(at)]);
        break;
      case 5: {
        const other = random.of(kept);
        input = Buffer.concat([input.subarray(0, at), other.subarray(random.below(other.length + 1))]);
        break;
      }
      case 6:
        input = Buffer.concat([input, random.of(kept)]);
        break;
      case 7: {
        // Lengths and counts are numbers of two, three or four bytes.
        const size = 2 + random.below(3);
        if (at + size <= input.length) input.writeUIntBE(random.of(edges) % 2 ** (8 * size), at, size);
        break;
      }
      case 8:
        if (words.length > 0) input = Buffer.concat([input.subarray(0, at), random.of(words), input.subarray(end)]);
        break;
    }
  }
  return input;
}

function noise(random: Random): Buffer {
  return Buffer.from(Array.from({ length: 1 + random.below(16) }, () => random.below(256)));
}

/** Takes out what the finding does not need, in ever smaller pieces. */
async function shrink(target: FuzzTarget, seed: number, input: Buffer): Promise<Buffer> {
  let smallest = input;
  for (let size = input.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at + size <= smallest.length; ) {
      const shorter = Buffer.concat([smallest.subarray(0, at), smallest.subarray(at + size)]);
      try {
        await target.run(shorter, new Random(seed));
        at += size;
      } catch {
        smallest = shorter;
      }
    }
  }
  return smallest;
}

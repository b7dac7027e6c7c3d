// Expressions of policies that say what is a secret: RE2, so that no text takes longer than its length asks for. Policy
// checks them, masking looks by them. Bytes are characters here, so an expression is of ASCII.
import { RE2JS, RE2JSException, RE2JSSyntaxException } from 're2js';

/** An expression that cannot be used; the message says why, for the author of a policy. */
export class MaskPatternError extends Error {
  /** The character of the expression that is at fault, from 0. */
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

/** A place in bytes: `[start, end)`. */
export interface Match {
  readonly start: number;
  readonly end: number;
}

export interface MaskPattern {
  /** All matches, in order, without overlap; the leftmost, as Perl would choose it. */
  find(bytes: Buffer): Match[];
  /** Where the first match may begin that goes on beyond the bytes, or turns on what follows; their end, where none may. */
  open(bytes: Buffer): number;
}

/** No match is shorter, or half of every text would be masked. Bytes. */
export const minMatchBytes = 4;
/** No match is longer: so many bytes of a stream are kept to see where it began. Bytes. */
export const maxMatchBytes = 256;
const maxExpression = 256;
/** Instructions. */
const maxProgram = 2_000;

/** `^` and `$` are the ends of lines. Throws `MaskPatternError`. */
export function compileMaskPattern(expression: string): MaskPattern {
  if (expression.length > maxExpression)
    throw new MaskPatternError(`an expression has at most ${maxExpression} characters`, maxExpression);
  const foreign = /[^\x20-\x7e]/.exec(expression);
  if (foreign !== null) throw new MaskPatternError('an expression is of ASCII characters', foreign.index);
  const compiled = compile(expression);
  const program = compiled.re2Input.prog as Program;
  if (program.inst.length > maxProgram) throw new MaskPatternError('the expression is too large', 0);
  const turns = program.inst.some(({ op, arg }) => op === ops.emptyWidth && (arg & ofWholeText) !== 0);
  if (turns) throw new MaskPatternError('a text has no beginning and end here: ^ and $ are those of lines', 0);
  const { shortest, longest } = lengths(program);
  if (shortest < minMatchBytes)
    throw new MaskPatternError(`it would match less than ${minMatchBytes} characters, and so mask too much`, 0);
  if (longest > maxMatchBytes)
    throw new MaskPatternError(`it must not match more than ${maxMatchBytes} characters: write {4,64} for * and +`, 0);
  const threads = new Threads(program);
  return {
    find(bytes) {
      const matcher = compiled.matcher(bytes.toString('latin1'));
      const matches: Match[] = [];
      while (matcher.find()) matches.push({ start: matcher.start(), end: matcher.end() });
      return matches;
    },
    open: (bytes) => threads.open(bytes),
  };
}

function compile(expression: string): RE2JS {
  try {
    return RE2JS.compile(expression, RE2JS.MULTILINE);
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    const fragment = error instanceof RE2JSSyntaxException ? (error.input ?? '') : '';
    const at = fragment === expression ? 0 : Math.max(0, expression.indexOf(fragment));
    const what = error instanceof RE2JSSyntaxException ? `${error.error}: ${fragment}` : error.message;
    throw new MaskPatternError(`not an expression of RE2: ${what}`, at);
  }
}

/** A program of RE2, as the library makes it. */
interface Program {
  readonly start: number;
  readonly inst: readonly Instruction[];
}

interface Instruction {
  readonly op: number;
  readonly out: number;
  readonly arg: number;
  matchRune(rune: number): boolean;
}

const ops = { alt: 1, altMatch: 2, capture: 3, emptyWidth: 4, fail: 5, match: 6, nop: 7, any: 10, anyButNewline: 11 };
const newline = 0x0a;
/** Conditions between two bytes, and those on a whole text. */
const conditions = { beginLine: 1, endLine: 2, beginText: 4, endText: 8, boundary: 16, noBoundary: 32 };
const ofWholeText = conditions.beginText | conditions.endText;

function takes({ op }: Instruction): boolean {
  return op > ops.nop;
}

function accepts(instruction: Instruction, byte: number): boolean {
  if (instruction.op === ops.any) return true;
  return instruction.op === ops.anyButNewline ? byte !== newline : instruction.matchRune(byte);
}

function branches({ op, out, arg }: Instruction): readonly number[] {
  if (op === ops.alt || op === ops.altMatch) return [out, arg];
  return op === ops.match || op === ops.fail ? [] : [out];
}

/** Of what the program matches. Infinite where it goes round and takes something on the way. */
function lengths({ start, inst }: Program): { readonly shortest: number; readonly longest: number } {
  const known = new Map<number, { shortest: number; longest: number }>();
  const open = new Map<number, number>();
  const visit = (pc: number, taken: number): { shortest: number; longest: number } => {
    const done = known.get(pc);
    if (done !== undefined) return done;
    const before = open.get(pc);
    // Once round: what was taken on the way can be taken again.
    if (before !== undefined)
      return { shortest: Number.POSITIVE_INFINITY, longest: taken > before ? Number.POSITIVE_INFINITY : 0 };
    const instruction = inst[pc] as Instruction;
    if (instruction.op === ops.match) return { shortest: 0, longest: 0 };
    if (instruction.op === ops.fail) return { shortest: Number.POSITIVE_INFINITY, longest: 0 };
    open.set(pc, taken);
    const own = takes(instruction) ? 1 : 0;
    const ways = branches(instruction).map((next) => visit(next, taken + own));
    open.delete(pc);
    const result = {
      shortest: own + Math.min(...ways.map(({ shortest }) => shortest)),
      longest: own + Math.max(...ways.map(({ longest }) => longest)),
    };
    if (open.size === 0 || Number.isFinite(result.shortest)) known.set(pc, result);
    return result;
  };
  return visit(start, 0);
}

/** Where in a program a match may stand, for each place it may have begun at (Thompson, 1968). */
class Threads {
  readonly #program: Program;
  /** Bytes that a match may begin with. */
  readonly #first: readonly boolean[];

  constructor(program: Program) {
    this.#program = program;
    const beginning = new Map<number, number>();
    this.#add(beginning, program.start, 0, null, false);
    const instructions = [...beginning.keys()].map((pc) => program.inst[pc] as Instruction);
    this.#first = Array.from({ length: 256 }, (_, byte) => instructions.some((one) => accepts(one, byte)));
  }

  open(bytes: Buffer): number {
    let threads = new Map<number, number>();
    for (let at = Math.max(0, bytes.length - maxMatchBytes); at < bytes.length; at++) {
      const byte = bytes[at] as number;
      if (this.#first[byte] === true) this.#add(threads, this.#program.start, at, between(bytes[at - 1], byte), false);
      if (threads.size === 0) continue;
      const next = new Map<number, number>();
      const flags = at + 1 < bytes.length ? between(byte, bytes[at + 1] as number) : null;
      for (const [pc, start] of threads) {
        const instruction = this.#program.inst[pc] as Instruction;
        if (takes(instruction) && accepts(instruction, byte)) this.#add(next, instruction.out, start, flags, false);
      }
      threads = next;
    }
    // Only where a byte is taken, or a match turns on one, does anything stand.
    const stands = ({ op }: Instruction): boolean => op === ops.match || op > ops.nop;
    const open = [...threads].filter(([pc]) => stands(this.#program.inst[pc] as Instruction));
    return Math.min(bytes.length, ...open.map(([, start]) => start));
  }

  /**
   * Follows what takes no byte. `flags`: conditions that hold there; `null` where the next byte is not known, so that any may.
   * Keeps the earliest beginning of each place. `turns`: a condition that is not known was passed.
   */
  #add(threads: Map<number, number>, pc: number, start: number, flags: number | null, turns: boolean): void {
    const instruction = this.#program.inst[pc] as Instruction;
    const { op, arg } = instruction;
    // A whole match is nothing open, unless it turns on what follows.
    if (op === ops.fail || (op === ops.match && !turns)) return;
    if (op === ops.emptyWidth && flags !== null && (arg & ~flags) !== 0) return;
    const before = threads.get(pc);
    if (before !== undefined && before <= start) return;
    threads.set(pc, start);
    if (takes(instruction)) return;
    const isUnknown = turns || (op === ops.emptyWidth && flags === null);
    for (const next of branches(instruction)) this.#add(threads, next, start, flags, isUnknown);
  }
}

/** The conditions that hold between two bytes. */
function between(before: number | undefined, after: number): number {
  const isWord = (byte: number | undefined): boolean => byte !== undefined && /\w/.test(String.fromCharCode(byte));
  return (
    (before === undefined || before === newline ? conditions.beginLine : 0) |
    (after === newline ? conditions.endLine : 0) |
    (isWord(before) === isWord(after) ? conditions.noBoundary : conditions.boundary)
  );
}

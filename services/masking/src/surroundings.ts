// What the place of a value in its object says about it: by the rules of policies, and by the names of fields. Pure.
import {
  globMatcher,
  isSecretName,
  type MaskRequest,
  type MaskRule,
  type MaskStep,
  parseMaskPath,
} from '@sluice/model';
import type { MaskPattern } from '@sluice/runtime/mask-pattern';
import { findSecrets, united } from './detect.ts';
import type { Finding } from './finding.ts';
import { matchesOf, patternsOf } from './patterns.ts';

/** A path of a rule, as far as it has been walked. */
interface Progress {
  readonly steps: readonly MaskStep[];
  readonly at: number;
}

/** Where a value stands. */
export interface Place {
  /** Name of the field it is, or of which it is an element. */
  readonly name: string;
  /** Everything here and below is masked. */
  readonly isMasked: boolean;
  readonly open: readonly Progress[];
}

const nothing: readonly Progress[] = [];

/** The rules of policies for the objects of one call. */
export class Surroundings {
  readonly root: Place;
  /** Detectors that the rules name. */
  readonly also: MaskRule['detectors'];
  /** Expressions that the rules name. */
  readonly patterns: readonly MaskPattern[];
  readonly #isKeyMasked: (name: string) => boolean;
  /** No rule says anything: most calls. */
  readonly #isEmpty: boolean;

  constructor({ rules, apiGroup, resource }: Pick<MaskRequest, 'rules' | 'apiGroup' | 'resource'>) {
    const mine = rules.filter(({ resources }) => resources.some((one) => isOf(one, apiGroup, resource)));
    const open = mine.flatMap(({ paths }) => paths.map((path) => ({ steps: parseMaskPath(path), at: 0 })));
    this.root = { name: '', isMasked: false, open };
    this.also = mine.flatMap(({ detectors }) => detectors);
    this.patterns = patternsOf([...new Set(mine.flatMap(({ patterns = [] }) => patterns))]);
    const keys = mine.flatMap((rule) => rule.keys);
    this.#isEmpty = keys.length === 0 && open.length === 0;
    this.#isKeyMasked = keys.length === 0 ? () => false : globMatcher(keys, { ignoreCase: true });
  }

  /** What detectors and expressions find in a whole text. */
  find(text: Buffer): readonly Finding[] {
    const found = findSecrets(text, this.also);
    return this.patterns.length === 0 ? found : united([...found, ...matchesOf(this.patterns, text)]);
  }

  /** Whether every string is looked at, not only those in which a detector's anchor stands. */
  get looksEverywhere(): boolean {
    return this.also.length > 0 || this.patterns.length > 0;
  }

  /** Where an operation of RFC 6902 on such names puts its value. */
  at(names: readonly string[]): Place {
    let place = this.root;
    for (const name of names) {
      const inArray = this.element(place);
      const isElement = /^(\d+|-)$/.test(name) && (inArray.open.length > 0 || inArray.isMasked);
      place = isElement ? inArray : this.field(place, name);
    }
    return place;
  }

  /** The field of an object. */
  field(place: Place, name: string): Place {
    if (this.#isEmpty) return { name, isMasked: false, open: nothing };
    if (place.isMasked) return { ...place, name };
    const open: Progress[] = [];
    let isMasked = this.#isKeyMasked(name);
    for (const progress of place.open) {
      const step = progress.steps[progress.at];
      const isDeep = step?.kind === 'deep';
      if (isDeep) open.push(progress);
      const at = isDeep ? progress.at + 1 : progress.at;
      const wanted = progress.steps[at];
      if (wanted?.kind !== 'key' || !wanted.matches(name)) continue;
      if (at + 1 === progress.steps.length) isMasked = true;
      else open.push({ steps: progress.steps, at: at + 1 });
    }
    return { name, isMasked, open: isMasked ? [] : open };
  }

  /** An element of an array. */
  element(place: Place): Place {
    if (place.isMasked || place.open.length === 0) return place;
    const open: Progress[] = [];
    let isMasked = false;
    for (const progress of place.open) {
      const step = progress.steps[progress.at];
      if (step?.kind === 'deep') open.push(progress);
      else if (step?.kind === 'each' && progress.at + 1 === progress.steps.length) isMasked = true;
      else if (step?.kind === 'each') open.push({ steps: progress.steps, at: progress.at + 1 });
    }
    return { name: place.name, isMasked, open: isMasked ? [] : open };
  }
}

function isOf(pattern: string, apiGroup: string, resource: string): boolean {
  const dot = pattern.indexOf('.');
  const [name, group] = dot === -1 ? [pattern, ''] : [pattern.slice(0, dot), pattern.slice(dot + 1)];
  if (pattern === '*') return true;
  return (name === '*' || name === resource) && group === apiGroup;
}

/** Headers that carry credentials; others are told by their names. */
const secretHeaders: ReadonlySet<string> = new Set(['authorization', 'proxy-authorization', 'cookie']);

/** Whether what an entry `{ name, value }` gives is a secret: an environment variable, or a header of a probe. */
export function isSecretEntry(name: string): boolean {
  return secretHeaders.has(name.toLowerCase()) || isSecretName(name);
}

/** `--password` before an argument of its own. */
export function isSecretFlag(argument: string): boolean {
  return /^--?[A-Za-z]/.test(argument) && !/[=\s]/.test(argument) && isSecretName(argument.replace(/^-+/, ''));
}

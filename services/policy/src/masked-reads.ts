// Calls that read a masked field by a question: selectors, and operations of a JSON patch (RFC 6902). Pure.
import {
  type DecisionRequest,
  type Deny,
  globMatcher,
  isSecretField,
  isSecretName,
  type MaskRule,
  type MaskStep,
  parseMaskPath,
} from '@sluice/model';

/** Where in an object something stands: names of fields, and positions in arrays. */
type Place = readonly string[];

/** Why a call is refused after all. */
export type MaskedRead = Pick<Deny, 'reasonCode' | 'reason' | 'hint'>;

/** Masked in every object. A manifest may stand inside another object, so at any depth. */
const always = [
  "..['kubectl.kubernetes.io/last-applied-configuration']",
  '..managedFields[*].fieldsV1',
  '..env[*].value',
  '..httpHeaders[*].value',
  '..args[*]',
  '..command[*]',
].map(parseMaskPath);
const ofSecrets = ['.data', '.stringData'].map(parseMaskPath);

/** What the API server itself lets a list of Secrets be selected by. */
const secretFields: readonly string[] = ['metadata.name', 'metadata.namespace', 'type'];

/**
 * Refuses a call whose answer would say something of a masked value: yes or no to a guess, or the value at another
 * place. `operations`: of a JSON patch. What cannot be read is refused. `null`: there is nothing to refuse.
 */
export function readsMasked(
  request: DecisionRequest,
  operations: Buffer | null,
  mask: 'none' | readonly MaskRule[],
): MaskedRead | null {
  const { attributes, fieldSelector = '', labelSelector = '', body } = request;
  if (mask === 'none' || attributes.kind === 'nonResource') return null;
  const isSecret = attributes.resource === 'secrets' && attributes.apiGroup === '';
  const isConfigMap = attributes.resource === 'configmaps' && attributes.apiGroup === '';
  const builtIn = [...always, ...(isSecret ? ofSecrets : [])];
  const places = new MaskedPlaces(builtIn, mask, isConfigMap ? 'ConfigMap' : 'other');
  // Where nothing is masked that a selector could name, the cluster may say what it thinks of one.
  const hasRules = mask.length > 0;
  const field = fieldsOf(fieldSelector).find((name) =>
    isSecret ? !secretFields.includes(name) : hasRules && (!fieldForm.test(name) || places.covers(name.split('.'))),
  );
  if (field !== undefined) {
    const allowed = isSecret ? ` Secrets are selected by ${secretFields.join(', ')} only.` : '';
    return {
      reasonCode: 'SelectorReadsMasked',
      reason: 'the field selector asks about a field that is masked, or cannot be read',
      hint: `Select by metadata.name or by labels.${allowed}`,
    };
  }
  const label = labelsOf(labelSelector).find(
    (name) => hasRules && (!labelForm.test(name) || places.covers(['metadata', 'labels', name])),
  );
  if (label !== undefined) {
    return {
      reasonCode: 'SelectorReadsMasked',
      reason: 'the label selector asks about a label that is masked, or cannot be read',
      hint: 'Select by other labels, or by metadata.name.',
    };
  }
  if (body !== 'json-patch') return null;
  const at = readingOperation(operations, places);
  if (at === -1) return null;
  return {
    reasonCode: 'PatchReadsMasked',
    reason: `operation ${at} of the JSON patch compares, copies or moves a field that is masked, or cannot be read`,
    hint: 'Write values with add, replace and remove, or send a merge patch; guard against changes made meanwhile with a test of /metadata/resourceVersion.',
  };
}

const entriesOf: ReadonlySet<string> = new Set(['data', 'binaryData']);

/** Where values are masked. */
class MaskedPlaces {
  readonly #paths: readonly (readonly MaskStep[])[];
  readonly #isMaskedKey: (key: string) => boolean;

  readonly #kind: 'ConfigMap' | 'other';

  constructor(builtIn: readonly (readonly MaskStep[])[], rules: readonly MaskRule[], kind: 'ConfigMap' | 'other') {
    this.#kind = kind;
    this.#paths = [...builtIn, ...rules.flatMap(({ paths }) => paths.map(parseMaskPath))];
    this.#isMaskedKey = globMatcher(
      rules.flatMap(({ keys }) => keys),
      { ignoreCase: true },
    );
  }

  /** Whether the value there is masked: the place is one of them, or under one. */
  covers(place: Place): boolean {
    if (place.some(this.#isMaskedKey) || place.some(isSecretField)) return true;
    const [field = '', entry = ''] = place;
    if (this.#kind === 'ConfigMap' && entriesOf.has(field) && isSecretName(entry)) return true;
    return this.#paths.some((steps) => statesAfter(steps, place).includes(steps.length));
  }

  /**
   * Whether a masked value would come out unmasked if what is there went elsewhere. What is masked by its own name, at
   * any depth, takes that with it.
   */
  leaks(place: Place): boolean {
    if (this.covers(place)) return true;
    // The entries of a ConfigMap are masked by their names, and only where they are entries.
    const [field = ''] = place;
    if (this.#kind === 'ConfigMap' && place.length < 2 && (field === '' || entriesOf.has(field))) return true;
    return this.#paths.some((steps) => {
      const states = statesAfter(steps, place);
      return steps[0]?.kind === 'deep' ? states.some((state) => state > 1) : states.length > 0;
    });
  }
}

/**
 * How many steps of a path are taken at a place, in every way it can be read; all of them, once a masked value is met.
 * A position in an array is not told from a field: either may be meant.
 */
function statesAfter(steps: readonly MaskStep[], place: Place): readonly number[] {
  let states = withDeep(steps, [0]);
  for (const segment of place) {
    if (states.includes(steps.length)) break;
    states = withDeep(
      steps,
      states.flatMap((state) => {
        const step = steps[state];
        if (step === undefined || (step.kind === 'key' && !step.matches(segment))) return [];
        return step.kind === 'deep' ? state : state + 1;
      }),
    );
  }
  return states;
}

/** Any depth is none as well. */
function withDeep(steps: readonly MaskStep[], states: readonly number[]): number[] {
  return [...new Set(states.flatMap((state) => (steps[state]?.kind === 'deep' ? [state, state + 1] : state)))];
}

const fieldForm = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;

/** The fields of a selector. An escaped comma stands in a value; to split there too only finds more. */
function fieldsOf(selector: string): string[] {
  const terms = selector.split(',').filter((term) => term.trim() !== '');
  return terms.map((term) => term.replace(/[=!].*$/s, '').trim());
}

const labelForm = /^[A-Za-z0-9._/-]+$/;

/** The labels of a selector: `a=b, c!=d, e in (f, g), h notin (i), j, !k, l>1`. */
function labelsOf(selector: string): string[] {
  const terms = selector.replaceAll(/\([^()]*\)/g, '').split(',');
  return terms.filter((term) => term.trim() !== '').map((term) => /^\s*!?\s*([^\s=!<>]*)/.exec(term)?.[1] ?? '');
}

interface Operation {
  readonly op?: unknown;
  readonly path?: unknown;
  readonly from?: unknown;
  readonly value?: unknown;
}

/** Values in one patch that are compared; more are refused. */
const maxCompared = 10_000;

/** The first operation that reads what is masked, or cannot be read; -1 where there is none. */
function readingOperation(operations: Buffer | null, places: MaskedPlaces): number {
  let parsed: unknown;
  try {
    parsed = JSON.parse(operations?.toString() ?? '');
  } catch {
    return 0;
  }
  if (!Array.isArray(parsed)) return 0;
  const budget = { compared: maxCompared };
  return parsed.findIndex((operation: unknown) => {
    if (typeof operation !== 'object' || operation === null) return true;
    const { op, path, from, value } = operation as Operation;
    const to = placeOf(path);
    if (to === null) return true;
    switch (op) {
      case 'test':
        return compares(value, to, places, budget);
      case 'copy':
      case 'move': {
        const source = placeOf(from);
        return source === null || places.leaks(source) || renamesVariable(to);
      }
      case 'add':
      case 'replace':
        return renamesVariable(to);
      default:
        return op !== 'remove';
    }
  });
}

/** An environment variable is masked by its name: under another one its value would be shown. */
function renamesVariable(to: Place): boolean {
  return to.at(-1) === 'name' && to.at(-3) === 'env';
}

/**
 * Whether a comparison says something of a masked value. It holds only if every value in it is the one that is there,
 * so it asks about just those; of an object that has more, it is false whatever they are.
 */
function compares(value: unknown, at: Place, places: MaskedPlaces, budget: { compared: number }): boolean {
  if (typeof value !== 'object' || value === null) {
    if (budget.compared-- <= 0) return true;
    return places.covers(at);
  }
  return Object.entries(value).some(([key, inner]) => compares(inner, [...at, key], places, budget));
}

/**
 * Reads a JSON pointer (RFC 6901). `null`: it is none. `/` is taken for the whole, as some do. The API server leaves off
 * what stands before the first slash, and reads an escape that is none as it stands; neither is sent by anybody.
 */
function placeOf(pointer: unknown): Place | null {
  if (typeof pointer !== 'string' || /~(?![01])/.test(pointer)) return null;
  if (pointer === '' || pointer === '/') return [];
  if (!pointer.startsWith('/')) return null;
  return pointer
    .slice(1)
    .split('/')
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'));
}

// Reads `exec` and `ports` of a rule. Pure.
import type { Effect } from '@sluice/model';
import { isScalar, type Node, type YAMLMap } from 'yaml';
import { type CommandPattern, commandPattern } from './exec/patterns.ts';
import type { ExecTerms, PortRange } from './exec/terms.ts';
import type { FormReader } from './reader.ts';

const running: ReadonlySet<string> = new Set([
  'pods/exec',
  'pods/attach',
  'pods/ephemeralcontainers',
  'pods/*',
  '*/exec',
  '*/attach',
  '*/*',
]);
const forwarding: ReadonlySet<string> = new Set(['pods/portforward', 'pods/*', '*/portforward', '*/*']);

/** Where a `when` may speak of `exec` and `pod`. */
export function areStreams(resources: readonly string[]): boolean {
  return resources.some((resource) => running.has(resource) || forwarding.has(resource));
}

const nothing: ExecTerms = { commands: null, tty: true, stdin: true, opaque: 'allow', interactive: 'allow' };

/** What each word may be where the rule has this effect. */
const grades = {
  allow: { opaque: ['deny', 'ask'], interactive: ['deny', 'ask', 'allow'] },
  ask: { opaque: ['ask'], interactive: ['ask'] },
  deny: { opaque: ['deny'], interactive: ['deny'] },
} as const satisfies Record<Effect, Record<'opaque' | 'interactive', readonly Effect[]>>;

/** `null`: the rule has none. Faults are reported to `form`. */
export function readExec(
  form: FormReader,
  rule: YAMLMap,
  effect: Effect,
  resources: readonly string[],
): ExecTerms | null {
  if (!rule.has('exec')) return null;
  const map = form.member(rule, 'exec', ['commands', 'tty', 'stdin', 'opaque', 'interactive']);
  if (map === null) return nothing;
  if (!resources.every((resource) => running.has(resource)))
    form.fault(map, 'exec has a meaning only beside pods/exec, pods/attach, pods/ephemeralcontainers, pods/* and */*');
  if (map.items.length === 0) form.fault(map, 'exec says what may run: by commands, tty, stdin, opaque or interactive');
  const commands = map.has('commands') ? form.list(map.get('commands', true), (item) => readPattern(form, item)) : null;
  for (const key of ['tty', 'stdin']) checkChannel(form, map, key, effect);
  const graded = (key: 'opaque' | 'interactive'): Effect => {
    const words: readonly Effect[] = grades[effect][key];
    if (!map.has(key)) return effect === 'allow' && commands !== null ? 'deny' : 'allow';
    const node = map.get(key, true);
    const word = words.find((one) => one === form.text(node));
    if (word === undefined) form.fault(node, `in a rule whose effect is ${effect}, ${key} is ${words.join(' or ')}`);
    return word ?? 'deny';
  };
  return {
    commands,
    tty: !map.has('tty'),
    stdin: !map.has('stdin'),
    opaque: graded('opaque'),
    interactive: graded('interactive'),
  };
}

function readPattern(form: FormReader, node: Node): CommandPattern {
  return commandPattern(form.texts(node));
}

function checkChannel(form: FormReader, map: YAMLMap, key: string, effect: Effect): void {
  if (!map.has(key)) return;
  const node = map.get(key, true);
  if (effect !== 'allow')
    form.fault(node, `${key} says what an allow does not let through; a rule that asks or denies says interactive`);
  else if (!(isScalar(node) && node.value === false))
    form.fault(node, `${key} is false, or is left out where the rule does not care`);
}

const rangeForm = /^([1-9]\d{0,4})-([1-9]\d{0,4})$/;
const lastPort = 65_535;

/** `null`: the rule has none. Faults are reported to `form`. */
export function readPorts(
  form: FormReader,
  rule: YAMLMap,
  effect: Effect,
  resources: readonly string[],
): readonly PortRange[] | null {
  if (!rule.has('ports')) return null;
  const node = rule.get('ports', true);
  if (!resources.every((resource) => forwarding.has(resource)))
    form.fault(node, 'ports have a meaning only beside pods/portforward, pods/* and */*');
  if (effect === 'ask')
    form.fault(node, 'ports are for rules that allow or deny: they are known only while the port-forward runs');
  if (rule.has('exec')) form.fault(node, 'nothing is an exec and a port-forward; make two rules of it');
  return form.list(node, (item) => {
    const range = isScalar(item) ? rangeOf(item.value) : null;
    if (range === null) form.fault(item, 'a port is a number from 1 to 65535, or a range such as "9000-9100"');
    return range ?? { first: 0, last: 0 };
  });
}

function rangeOf(value: unknown): PortRange | null {
  const [first, last] =
    typeof value === 'string' ? (rangeForm.exec(value)?.slice(1).map(Number) ?? []) : [value, value];
  if (typeof first !== 'number' || typeof last !== 'number' || !Number.isInteger(first)) return null;
  return first >= 1 && first <= last && last <= lastPort ? { first, last } : null;
}

/** Patterns that a hint names; a policy may have many. */
const maxPatterns = 16;

/** For hints: ` running ls *, cat /var/log/*`, ` at ports 8080, 9000-9100`. */
export function summaryOf(exec: ExecTerms | null, ports: readonly PortRange[] | null): string {
  const patterns = exec?.commands?.map(({ text }) => text) ?? [];
  const more = patterns.length > maxPatterns ? `, and ${patterns.length - maxPatterns} more` : '';
  const commands = patterns.length === 0 ? '' : ` running ${patterns.slice(0, maxPatterns).join(', ')}${more}`;
  const without = [...(exec?.tty === false ? ['terminal'] : []), ...(exec?.stdin === false ? ['stdin'] : [])];
  const channels = without.length === 0 ? '' : ` without ${without.join(' and ')}`;
  const ranges = ports?.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)) ?? [];
  return `${commands}${channels}${ranges.length === 0 ? '' : ` at ports ${ranges.join(', ')}`}`;
}

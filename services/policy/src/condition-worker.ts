// The thread in which conditions are evaluated, so that one that takes too long can be ended with it.
import { parentPort } from 'node:worker_threads';
import type { ParseResult } from '@marcbachmann/cel-js';
import { podSecrets } from '@sluice/kube';
import { environment } from './condition.ts';
import { type ConditionTask, type ConditionWord, threadMs, type Verdict } from './conditions.ts';

const port = parentPort;
if (port === null) throw new Error('this is a worker thread');
const say = (word: { readonly kind: 'read' } | { readonly kind: 'verdict'; readonly verdict: Verdict }): void =>
  port.postMessage({ ...word, usedMs: threadMs(process.threadCpuUsage()) } satisfies ConditionWord);

/** Parsed expressions; policies change, so the oldest go. */
const parsed = new Map<string, ParseResult>();
const maxParsed = 5_000;

// What Node loads for its first time zone takes half of what a condition may: not out of the first one's time.
judge('now.getHours("Europe/Berlin") == 0', { now: new Date(0) });

port.on('message', ({ texts, input }: ConditionTask) => {
  let context: Record<string, unknown> | null = null;
  try {
    const { request, agent, body, exec, pod, nowMs } = input;
    const object: unknown = body === null ? undefined : parseBody(Buffer.from(body));
    // A JSON patch, which is a list, says steps and no object: to CEL here, a field of it would merely be absent, and a
    // deny on the field would let the patch pass.
    const hasObject = object !== undefined && !Array.isArray(object);
    context = {
      request,
      agent,
      now: new Date(nowMs),
      ...(hasObject ? { object } : {}),
      ...(exec === undefined ? {} : { exec: { ...exec, port: BigInt(exec.port) } }),
      ...(pod === undefined ? {} : { pod: parsePod(Buffer.from(pod), object) }),
    };
  } catch {
    // A body that is not JSON: nothing can be said of it.
  }
  say({ kind: 'read' });
  for (const text of texts) say({ kind: 'verdict', verdict: context === null ? 'error' : judge(text, context) });
});

function judge(text: string, context: Record<string, unknown>): 'yes' | 'no' | 'error' {
  try {
    const result: unknown = expression(text)(context);
    return typeof result === 'boolean' ? (result ? 'yes' : 'no') : 'error';
  } catch {
    return 'error';
  }
}

function expression(text: string): ParseResult {
  let found = parsed.get(text);
  if (found === undefined) {
    if (parsed.size >= maxParsed) parsed.delete(parsed.keys().next().value ?? '');
    found = environment.parse(text);
    parsed.set(text, found);
  }
  return found;
}

/** `added`: the body of a change to its ephemeral containers. */
function parsePod(text: Buffer, added: unknown): unknown {
  const pod = parseBody(text);
  if (typeof pod !== 'object' || pod === null) throw new SyntaxError('a pod is an object');
  return { ...pod, secrets: podSecrets(pod, added) };
}

/** Whole numbers become CEL's `int`, as they are in the API; those beyond 2^53 keep every digit. */
function parseBody(body: Buffer): unknown {
  const text = body.toString();
  if (!/\d{16}/.test(text)) return withIntegers(JSON.parse(text));
  return JSON.parse(text, (_key, value: unknown, { source = '' }: { source?: string } = {}) =>
    typeof value === 'number' && /^-?\d+$/.test(source) ? BigInt(source) : value,
  );
}

function withIntegers(value: unknown): unknown {
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(withIntegers);
  if (typeof value !== 'object' || value === null) return value;
  for (const [key, inner] of Object.entries(value)) {
    if (typeof inner === 'string') continue;
    Object.defineProperty(value, key, { value: withIntegers(inner), enumerable: true });
  }
  return value;
}

import { type BodyNote, type CallRow, type FrameMeta, type FrameRow, outcomes, resourceName } from '@sluice/model';
import { approvalLines, secondDecisionLines } from './approval-lines.ts';
import { shellLine } from './command-line.ts';
import { layOutJson } from './json.ts';
import { channelEntries, streamEndLines, streamLines } from './stream-lines.ts';
import { placeOf, printable } from './text.ts';

const gapMs = 60_000;
const column = ' '.repeat(16);

/**
 * A call as people read it: who wanted what, what was decided, what came of it. Of bodies at most `maxLines` lines.
 * `row`: the call as it is listed; `null` when its first frame is not there, and so it is not.
 */
export function callTimeline(row: CallRow | null, frames: readonly FrameRow[], maxLines: number): string {
  // A call that goes on in its writer's next ledger has frames in two.
  const answered = frames.filter(({ kind }) => kind === 'response').sort((a, b) => a.offset - b.offset);
  const ends = frames.filter(({ kind }) => kind === 'outcome');
  const end = ends.find((frame) => (metaOf(frame) as FrameMeta['outcome']).outcome !== 'presumed-unknown') ?? ends[0];
  const own: Entry[] = [];
  for (const frame of frames) {
    if (frame.kind === 'call') own.push({ kind: 'call', at: frame.at, lines: callLines(frame, maxLines) });
  }
  for (const frame of frames) {
    if (frame.kind !== 'decision') continue;
    const lines = timed(frame.at, secondDecisionLines(metaOf(frame) as FrameMeta['decision']));
    own.push({ kind: 'approval', at: frame.at, lines });
  }
  const first = answered[0];
  if (first !== undefined) {
    const meta = metaOf(first) as FrameMeta['response'];
    const body = bodyLines(Buffer.concat(answered.map(bytesOf)), maxLines);
    const lines = [`${clock(first.at)}  answered ${meta.status} ${meta.contentType}`, ...body];
    own.push({ kind: 'answer', at: first.at, lines });
  }
  for (const { at, lines } of channelEntries(frames, maxLines)) {
    own.push({ kind: 'channel', at, lines: timed(at, lines.map(onlyItsOwn)) });
  }
  if (end !== undefined) own.push({ kind: 'end', at: end.at, lines: outcomeLines(end, answered) });
  const lines = merged(own, approvalEntries(frames)).flatMap((entry, index, all) =>
    // What is said of an approval stands together.
    index > 0 && !(entry.kind === 'approval' && all[index - 1]?.kind === 'approval')
      ? ['', ...entry.lines]
      : entry.lines,
  );
  if (end === undefined) lines.push('', 'running: no outcome yet');
  const missing = incompleteLine(row);
  if (missing !== null) lines.push('', missing);
  return `${lines.map(printable).join('\n')}\n`;
}

/** The head of a session. `calls`: its calls in order, at least one. */
export function sessionHead(session: string, calls: readonly CallRow[]): string {
  const [first, last] = [calls[0], calls.at(-1)];
  const agents = [...new Set(calls.map(({ agent }) => agent))].join(', ');
  const count = calls.length === 1 ? '1 call' : `${calls.length} calls`;
  return `${printable(`session ${session}: ${agents}, ${count}, ${second(first?.at)} to ${second(last?.at)} UTC`)}\n`;
}

/** A call in the timeline of its session, under a word about a long time without one. */
export function sessionEntry(call: CallRow, before: CallRow | null, first: CallRow): string {
  const at = Date.parse(call.at);
  const quietMs = before === null ? 0 : at - Date.parse(before.at);
  const runs = call.command === null ? '' : `: ${shellLine(call.command)}`;
  const about = `${call.verb} ${call.resource}${placeOf(call.namespace, call.name)}${runs}`;
  const status = call.status === null || call.status === 0 ? '' : ` ${call.status}`;
  const exit = call.exitCode === null ? '' : `, exit code ${call.exitCode}`;
  const missing = incompleteLine(call);
  const lines = [
    '',
    ...(quietMs > gapMs ? [`${column}… no call for ${length(quietMs)} …`, ''] : []),
    `${clock(call.at)}  +${length(at - Date.parse(first.at))}  ${call.agent}: ${about}`,
    `${column}${call.effect} ${call.reasonCode}, ${call.outcome ?? 'running'}${status}${exit}`,
    ...(missing === null ? [] : [`${column}${missing}`]),
    `${column}${call.id}`,
  ];
  return `${lines.map(printable).join('\n')}\n`;
}

/** What happened at one time. `at`: ISO 8601, UTC. */
interface Entry {
  readonly kind: 'call' | 'approval' | 'answer' | 'channel' | 'end';
  readonly at: string;
  readonly lines: readonly string[];
}

/** What became of the approval that a call asked for, each event once: it may be recorded twice. */
function approvalEntries(frames: readonly FrameRow[]): Entry[] {
  const events = new Map<string, Entry & { readonly seq: number }>();
  for (const frame of frames) {
    if (frame.kind !== 'approval') continue;
    const meta = metaOf(frame) as FrameMeta['approval'];
    const at = new Date(meta.atMs).toISOString();
    const lines = timed(at, approvalLines(meta, frame.call));
    if (lines.length > 0) events.set(`${meta.approval} ${meta.seq}`, { kind: 'approval', at, lines, seq: meta.seq });
  }
  return [...events.values()].sort((a, b) => a.seq - b.seq);
}

/** By time, except that each list keeps its order, and the call comes first: the clocks of two writers may differ. */
function merged(own: readonly Entry[], approvals: readonly Entry[]): Entry[] {
  const left = [...approvals];
  const all: Entry[] = [];
  for (const entry of own) {
    if (entry.kind !== 'call') while (left[0] !== undefined && left[0].at <= entry.at) all.push(...left.splice(0, 1));
    all.push(entry);
  }
  return [...all, ...left];
}

/** A text has as many lines as it is given here, whatever was sent. */
function onlyItsOwn(line: string): string {
  return line.replaceAll('\n', '\\n');
}

function timed(at: string, [first, ...more]: readonly string[]): string[] {
  return first === undefined ? [] : [`${clock(at)}  ${first}`, ...more.map((line) => column + line)];
}

/** What is said of a call whose record lacks something. */
function incompleteLine(row: CallRow | null): string | null {
  if (row === null) return 'incomplete: the frame with the call and its decision is not in the record';
  if (!row.incomplete) return null;
  return row.outcome === 'presumed-unknown'
    ? 'incomplete: the writer of its record died before its end'
    : 'incomplete: frames were lost with their writer, and may have been of this call';
}

function callLines(frame: FrameRow, maxLines: number): string[] {
  const meta = metaOf(frame) as FrameMeta['call'];
  const { agent, attributes, decision, body } = meta;
  const about = attributes.kind === 'resource' ? `${attributes.verb} ${resourceName(attributes)}` : attributes.verb;
  const rule = decision.rule === '' ? 'no rule' : `rule "${decision.rule}" of policy "${decision.policy}"`;
  const lines = [
    `${clock(frame.at)}  ${agent.name} (${agent.issuer}) asks: ${about}`,
    `${column}${meta.method} ${meta.target}`,
    `${column}through "${meta.connection}", as ${meta.userAgent || 'an unnamed client'}`,
    `${column}${decision.effect}: ${decision.reasonCode}, ${rule}`,
  ];
  if (decision.reason !== '') lines.push(`${column}${decision.reason}`);
  if (meta.stream !== undefined) lines.push(...streamLines(meta.stream).map((line) => column + onlyItsOwn(line)));
  if (decision.impersonate !== null) lines.push(`${column}in the cluster: ${decision.impersonate.user}`);
  if (body !== null) {
    lines.push(`${column}request body: ${bodyNote(body)}`);
    lines.push(...bodyLines(bytesOf(frame), maxLines));
  }
  return lines;
}

function outcomeLines(frame: FrameRow, answered: readonly FrameRow[]): string[] {
  const meta = metaOf(frame) as FrameMeta['outcome'];
  const status = meta.status === 0 ? '' : ` ${meta.status}`;
  const reason = meta.reasonCode === '' ? '' : ` ${meta.reasonCode}`;
  const took = `${(meta.durationMicros / 1000).toFixed(1)} ms`;
  const lines = [`${clock(frame.at)}  ${meta.outcome}${status}${reason} after ${took}: ${outcomes[meta.outcome]}`];
  lines.push(...streamEndLines(meta).map((line) => column + line));
  if (meta.body === null) return lines;
  const recorded = answered.reduce((sum, { size }) => sum + size, 0);
  const part = meta.body.recorded !== 'digest' && recorded < meta.body.bytes ? `, the first ${recorded} recorded` : '';
  lines.push(`${column}answer: ${bodyNote(meta.body)}${part}, sha256 ${meta.sha256}`);
  return lines;
}

function bodyNote(body: BodyNote): string {
  const size = `${body.bytes} bytes of ${body.contentType || 'no type'}`;
  if (body.delivered === 'raw') return `${size}, ${body.recorded}; the agent got the values, as a rule says mask: none`;
  return body.recorded === 'digest' ? `${size}, not recorded: it cannot be masked` : `${size}, ${body.recorded}`;
}

/** JSON is laid out, everything else shown as it is. */
function bodyLines(body: Buffer, maxLines: number): string[] {
  if (body.length === 0) return [];
  // A watch is no one JSON, nor is a body that was recorded in part.
  const text = layOutJson(body.toString()) ?? body.toString();
  const lines = text.trimEnd().split('\n');
  const shown = lines.slice(0, maxLines).map((line) => `    ${line}`);
  if (lines.length > maxLines) shown.push(`    … ${lines.length - maxLines} more lines; --full shows them`);
  return shown;
}

/** What a frame says, of the shape of its kind. Throws an `Error` for what is no JSON. */
export function metaOf(frame: FrameRow): unknown {
  try {
    return JSON.parse(frame.meta);
  } catch {
    throw new Error(`frame ${frame.seq} of ledger ${frame.ledger} cannot be read: its meta is not JSON`);
  }
}

function bytesOf(frame: FrameRow): Buffer {
  return Buffer.from(frame.bytesBase64, 'base64');
}

function clock(at: string): string {
  return at.slice(11, 23);
}

function second(at = ''): string {
  return at.replace('T', ' ').slice(0, 19);
}

/** `0.250s`, `2m03s`, `1h00m07s`. */
function length(ms: number): string {
  if (ms < 60_000) return `${(ms / 1_000).toFixed(3)}s`;
  const [hours, minutes, seconds] = [
    Math.floor(ms / 3_600_000),
    Math.floor(ms / 60_000) % 60,
    Math.floor(ms / 1_000) % 60,
  ];
  const two = (number: number): string => String(number).padStart(2, '0');
  return hours === 0 ? `${minutes}m${two(seconds)}s` : `${hours}h${two(minutes)}m${two(seconds)}s`;
}

import { type BodyNote, type FrameMeta, type FrameRow, outcomes, resourceName } from '@sluice/model';
import type { HomePaths } from './home.ts';
import { askRecords } from './records.ts';
import { printable } from './text.ts';

/** `sluice replay`, with its options parsed. */
export interface ReplayOptions {
  readonly full?: true;
  readonly json?: true;
}

/** Longer bodies are shortened, unless asked for in full. Lines. */
const shownLines = 120;

export async function replayCall(
  home: HomePaths,
  call: string,
  options: ReplayOptions,
  out: NodeJS.WritableStream,
): Promise<void> {
  const frames = await framesOf(home, call);
  if (frames.length === 0) throw new Error(`no call ${printable(call)} in the record; \`sluice calls list\` shows ids`);
  out.write(
    options.json
      ? `${JSON.stringify(frames.map(frameJson))}\n`
      : timeline(frames, options.full === true ? Infinity : shownLines),
  );
}

async function framesOf(home: HomePaths, call: string): Promise<FrameRow[]> {
  const frames: FrameRow[] = [];
  for (;;) {
    const answer = await askRecords(home, { kind: 'frames', call, after: frames.at(-1) ?? null });
    frames.push(...answer.frames);
    if (!answer.more) return frames;
  }
}

function frameJson({ meta, ...frame }: FrameRow): object {
  return { ...frame, meta: JSON.parse(meta) as unknown };
}

/** A call as people read it: who wanted what, what was decided, what came of it. Exported for its test. */
export function timeline(frames: readonly FrameRow[], maxLines: number): string {
  const lines: string[] = [];
  const answered = frames.filter(({ kind }) => kind === 'response');
  const end = frames.find(({ kind }) => kind === 'outcome');
  for (const frame of frames) {
    if (frame.kind === 'call') lines.push(...callLines(frame, maxLines));
  }
  const first = answered[0];
  if (first !== undefined) {
    const meta = JSON.parse(first.meta) as FrameMeta['response'];
    lines.push('', `${clock(first.at)}  answered ${meta.status} ${meta.contentType}`);
    const body = Buffer.concat(answered.map(({ bytesBase64 }) => Buffer.from(bytesBase64, 'base64')));
    lines.push(...bodyLines(body, maxLines));
  }
  if (end === undefined) lines.push('', 'running: no outcome yet');
  else lines.push('', ...outcomeLines(end, answered));
  return `${lines.map(printable).join('\n')}\n`;
}

function callLines(frame: FrameRow, maxLines: number): string[] {
  const meta = JSON.parse(frame.meta) as FrameMeta['call'];
  const { agent, attributes, decision, body } = meta;
  const about = attributes.kind === 'resource' ? `${attributes.verb} ${resourceName(attributes)}` : attributes.verb;
  const rule = decision.rule === '' ? 'no rule' : `rule "${decision.rule}" of policy "${decision.policy}"`;
  const lines = [
    `${clock(frame.at)}  ${agent.name} (${agent.issuer}) asks: ${about}`,
    `                ${meta.method} ${meta.target}`,
    `                through "${meta.connection}", as ${meta.userAgent || 'an unnamed client'}`,
    `                ${decision.effect}: ${decision.reasonCode}, ${rule}`,
  ];
  if (decision.reason !== '') lines.push(`                ${decision.reason}`);
  if (decision.impersonate !== null) lines.push(`                in the cluster: ${decision.impersonate.user}`);
  if (body !== null) {
    lines.push(`                request body: ${bodyNote(body)}`);
    lines.push(...bodyLines(Buffer.from(frame.bytesBase64, 'base64'), maxLines));
  }
  return lines;
}

function outcomeLines(frame: FrameRow, answered: readonly FrameRow[]): string[] {
  const meta = JSON.parse(frame.meta) as FrameMeta['outcome'];
  const status = meta.status === 0 ? '' : ` ${meta.status}`;
  const reason = meta.reasonCode === '' ? '' : ` ${meta.reasonCode}`;
  const took = `${(meta.durationMicros / 1000).toFixed(1)} ms`;
  const lines = [`${clock(frame.at)}  ${meta.outcome}${status}${reason} after ${took}: ${outcomes[meta.outcome]}`];
  if (meta.body === null) return lines;
  const recorded = answered.reduce((sum, { bytesBase64 }) => sum + Buffer.byteLength(bytesBase64, 'base64'), 0);
  const part = meta.body.recorded !== 'digest' && recorded < meta.body.bytes ? `, the first ${recorded} recorded` : '';
  lines.push(`                answer: ${bodyNote(meta.body)}${part}, sha256 ${meta.sha256}`);
  return lines;
}

function bodyNote(body: BodyNote): string {
  const size = `${body.bytes} bytes of ${body.contentType || 'no type'}`;
  return body.recorded === 'digest' ? `${size}, not recorded: it cannot be masked` : `${size}, ${body.recorded}`;
}

/** JSON is laid out, everything else shown as it is. */
function bodyLines(body: Buffer, maxLines: number): string[] {
  if (body.length === 0) return [];
  let text = body.toString();
  try {
    text = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // A watch, or a body that was recorded in part.
  }
  const lines = text.trimEnd().split('\n');
  const shown = lines.slice(0, maxLines).map((line) => `    ${line}`);
  if (lines.length > maxLines) shown.push(`    … ${lines.length - maxLines} more lines; --full shows them`);
  return shown;
}

function clock(at: string): string {
  return at.slice(11, 23);
}

// A stream as people read it in the timeline of its call: what it ran, what each channel carried, how it ended.
import type { Channel, FrameMeta, FrameRow } from '@sluice/model';
import { ChannelTexts, channelOf, sizesIn } from './channels.ts';
import { shellLine } from './command-line.ts';

/** Lines under the time at which something began. `at`: ISO 8601, UTC. */
export interface StreamEntry {
  readonly at: string;
  readonly lines: readonly string[];
}

/** What a stream asks for, and how much could be said of it. */
export function streamLines({
  kind,
  command,
  container,
  stdin,
  tty,
  ports,
  grade,
  pod,
}: NonNullable<FrameMeta['call']['stream']>): readonly string[] {
  const where = container === '' ? '' : ` in container ${shellLine([container])}`;
  const of = [...(tty ? ['a terminal'] : []), ...(stdin ? ['stdin'] : [])].join(' and ');
  const what = {
    exec: `runs${where}: ${shellLine(command)}`,
    attach: `attaches to what runs${where}`,
    portforward: `forwards ${ports.length === 0 ? 'ports' : `ports ${ports.join(', ')}`}`,
  }[kind];
  const lines = [what, ...(kind === 'portforward' ? [] : [`${grade}, with ${of === '' ? 'no stdin' : of}`])];
  if (pod === null) return [...lines, 'its pod could not be read'];
  lines.push(`pod ${pod.uid}, resourceVersion ${pod.resourceVersion}`);
  return pod.secrets.length === 0 ? lines : [...lines, `its pod refers to Secrets: ${pod.secrets.join(', ')}`];
}

/** What each channel carried, the first to begin first. `frames`: as they were written. At most `maxLines` of each. */
export function channelEntries(frames: readonly FrameRow[], maxLines: number): StreamEntry[] {
  const texts = new ChannelTexts();
  const carried = new Map<Channel, Carried>();
  for (const frame of frames) {
    const channel = channelOf(frame)?.channel;
    const piece = texts.piece(frame);
    if (piece === null || channel === undefined || channel === 'port') continue;
    const sum: Carried = carried.get(channel) ?? { at: frame.at, bytes: 0, missing: 0, text: '', typed: [] };
    carried.set(channel, sum);
    sum.bytes += frame.size;
    if (frame.bytesBase64 === '') sum.missing += frame.size;
    sum.text += piece.text;
    if (piece.text !== '') sum.typed.push({ at: frame.at, text: piece.text });
  }
  for (const [channel, text] of texts.rest()) {
    const sum = carried.get(channel);
    if (sum !== undefined) sum.text += text;
  }
  const told = [...carried].flatMap(([channel, sum]) => carriedEntry(channel, sum, maxLines));
  return [...told, ...portEntries(frames, maxLines)];
}

/** How a stream ended, behind the line with its outcome. */
export function streamEndLines({ stream, message }: FrameMeta['outcome']): readonly string[] {
  const lines = message === undefined ? [] : [`the agent was told: ${oneLine(message)}`];
  if (stream === undefined) return lines;
  const { client, upstream, exitCode, channels, unmasked } = stream;
  if (exitCode !== null) lines.push(`exit code ${exitCode}`);
  lines.push(`${client} from the agent, ${upstream} to the cluster`);
  for (const { channel, bytes, sha256 } of channels)
    lines.push(`${channel}: ${bytes} bytes${sha256 === '' ? '' : `, sha256 ${sha256}`}`);
  if (unmasked === true) lines.push('the agent got its bytes unmasked');
  return lines;
}

/** What one channel carried. */
interface Carried {
  readonly at: string;
  bytes: number;
  /** Bytes that are in the record and were left aside here. */
  missing: number;
  text: string;
  readonly typed: { readonly at: string; readonly text: string }[];
}

function carriedEntry(channel: Channel, { at, bytes, missing, text, typed }: Carried, maxLines: number): StreamEntry[] {
  const head = `${channel}: ${bytes} bytes`;
  // How a stream ended is said in its outcome.
  if (channel === 'error') return [];
  if (channel === 'resize') {
    const sizes = typed.flatMap((said) => sizesIn(said.text).map((size) => ({ at: said.at, ...size })));
    const lines = sizes.map((size) => `${clock(size.at)}  ${size.columns}x${size.rows}`);
    return [{ at, lines: ['terminal:', ...shortened(lines, maxLines, 0)] }];
  }
  if (channel === 'stdin') return [{ at, lines: [head, ...shortened(typedLines(typed), maxLines, missing)] }];
  // A terminal ends lines with a carriage return besides.
  const lines = text.replaceAll('\r\n', '\n').trimEnd().split('\n');
  return [{ at, lines: [head, ...shortened(text.trim() === '' ? [] : lines, maxLines, missing)] }];
}

/** Lines of input, each with the time at which it began. */
function typedLines(typed: Carried['typed']): string[] {
  const lines: string[] = [];
  let isOpen = false;
  for (const { at, text } of typed) {
    // A carriage return is what a terminal's enter key sends.
    for (const part of text.split(/(?<=[\r\n])/)) {
      const shown = part.replace(/[\r\n]$/, '');
      if (isOpen) lines[lines.length - 1] += shown;
      else lines.push(`${clock(at)}  ${shown}`);
      isOpen = shown === part;
    }
  }
  return lines;
}

interface Forwarded {
  readonly at: string;
  readonly port: number;
  readonly said: string[];
  readonly texts: { in: string; out: string };
}

/** The connections of a port-forward. */
function portEntries(frames: readonly FrameRow[], maxLines: number): StreamEntry[] {
  const connections = new Map<number, Forwarded>();
  for (const frame of frames) {
    const meta = channelOf(frame);
    if (meta?.channel !== 'port') continue;
    const { connection, port } = meta;
    const one: Forwarded = connections.get(connection) ?? { at: frame.at, port, said: [], texts: { in: '', out: '' } };
    connections.set(connection, one);
    switch (meta.event) {
      case 'opened':
        break;
      case 'refused':
        one.said.push(`refused ${meta.reasonCode}: ${oneLine(meta.reason)}`);
        break;
      case 'closed':
        one.said.push(`${meta.inBytes} bytes in, ${meta.outBytes} bytes out, closed ${clock(frame.at)}`);
        break;
      case 'in':
      case 'out':
        one.texts[meta.event] += Buffer.from(frame.bytesBase64, 'base64').toString();
    }
  }
  return [...connections].map(([connection, { at, port, said, texts }]) => {
    const head = `connection ${connection} to port ${port}: ${said.join(', ') || 'open'}`;
    const lines = (['in', 'out'] as const).flatMap((way) =>
      texts[way] === '' ? [] : [`  ${way}:`, ...shortened(texts[way].trimEnd().split('\n'), maxLines, 0)],
    );
    return { at, lines: [head, ...lines] };
  });
}

function shortened(lines: readonly string[], maxLines: number, missing: number): string[] {
  const shown = lines.slice(0, maxLines).map((line) => `    ${line}`);
  if (lines.length > maxLines) shown.push(`    … ${lines.length - maxLines} more lines; --full shows them`);
  return missing === 0 ? shown : [...shown, `    … ${missing} more bytes; --full shows them`];
}

function clock(at: string): string {
  return at.slice(11, 23);
}

function oneLine(text: string): string {
  return text.replaceAll('\n', '\\n');
}

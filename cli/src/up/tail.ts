import { isUtf8 } from 'node:buffer';
import type { ServerResponse } from 'node:http';
import { type Frame, type FrameMeta, resourceName, streams } from '@sluice/model';
import type { Broker } from '@sluice/runtime';
import type { TailCall } from '../tail.ts';
import { Feed, type Reader, type Told, type Wanted } from './feed.ts';

/** So many calls are remembered, to say at its outcome which one ended; and so many approvals. */
const known = 10_000;

const callFrames = `${streams.calls.prefix}.*`;
const byteFrames = `${streams.bytes.prefix}.*`;

/** Calls as they happen, and bytes of one call as they are recorded, for whoever listens. */
export class Tail {
  readonly #calls: Feed;
  /** Bodies and channels pass here only while somebody follows a call; with its outcome, behind all its bytes. */
  readonly #streams: Feed;

  constructor(open: () => Promise<Broker>) {
    this.#calls = new Feed(open, [callFrames], newReader);
    this.#streams = new Feed(open, [callFrames, byteFrames], newReader);
  }

  /** Tells what is wanted until the listener goes. Throws where the broker is not there. */
  follow(response: ServerResponse, wanted: Wanted): Promise<void> {
    return (wanted.call === null ? this.#calls : this.#streams).follow(response, wanted);
  }

  /** Says farewell to all listeners, and closes the connections. */
  async close(): Promise<void> {
    await Promise.all([this.#calls.close(), this.#streams.close()]);
  }
}

function newReader(): Reader {
  const calls = new Map<string, TailCall>();
  const approvals = new Map<string, Approval>();
  return ({ kind, call, atMicros, meta, offset, bytes }: Frame): Told | null => {
    const at = new Date(atMicros / 1000).toISOString();
    const about = calls.get(call) ?? unknownCall;
    switch (kind) {
      case 'call': {
        const asked = JSON.parse(meta) as FrameMeta['call'];
        const told = aboutCall(asked, asked.stream?.command);
        remember(calls, call, told);
        return { kind: 'decision', call, at, ...told, ...decisionOf(asked) };
      }
      case 'decision':
        return { kind, call, at, ...about, ...decisionOf(JSON.parse(meta) as FrameMeta['decision']) };
      case 'approval': {
        const event = JSON.parse(meta) as FrameMeta['approval'];
        return approvalTold(approvals, call, event, about);
      }
      case 'channel': {
        const said = JSON.parse(meta) as FrameMeta['channel'];
        const forward = said.channel === 'port' ? { forward: said } : {};
        return { kind, call, at, channel: said.channel, offset, ...bytesOf(bytes), ...forward };
      }
      case 'response':
        return { kind: 'channel', call, at, channel: 'body', offset, ...bytesOf(bytes) };
      case 'outcome': {
        const { outcome, status, reasonCode, durationMicros, message, stream } = JSON.parse(
          meta,
        ) as FrameMeta['outcome'];
        const exitCode = stream?.exitCode ?? null;
        const durationMs = durationMicros / 1000;
        return { kind, call, at, ...about, outcome, status, reasonCode, exitCode, message: message ?? '', durationMs };
      }
      case 'opened':
      case 'seal':
      case 'closed':
      case 'ledger-closed':
      case 'heads':
      case 'unknown':
        return null;
    }
  };
}

/** Of each approval the last event, which may be recorded again in another ledger, and what it led to. */
type Approval = Pick<FrameMeta['approval'], 'seq' | 'state'>;

/** A vote, or a new state; other events tell nothing that the calls do not. */
function approvalTold(
  approvals: Map<string, Approval>,
  call: string,
  { approval, seq, atMs, event, state }: FrameMeta['approval'],
  asked: TailCall,
): Told | null {
  const before = approvals.get(approval);
  if (before !== undefined && seq <= before.seq) return null;
  remember(approvals, approval, { seq, state });
  if (event.kind !== 'voted' && state === before?.state) return null;
  const about = event.kind === 'requested' ? aboutCall(event.request, event.request.stream?.command) : asked;
  const by = event.kind === 'voted' ? event.reviewer.name : '';
  return { kind: 'approval', call, at: new Date(atMs).toISOString(), ...about, approval, state, by };
}

function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > known && oldest !== undefined) map.delete(oldest);
}

/** Of a call that was first decided before anybody listened. */
const unknownCall: TailCall = { agent: '', verb: '', resource: '', namespace: '', name: '', command: null };

function aboutCall(
  { agent, attributes }: Pick<FrameMeta['call'], 'agent' | 'attributes'>,
  command: readonly string[] = [],
): TailCall {
  const isResource = attributes.kind === 'resource';
  return {
    agent: agent.name,
    verb: attributes.verb,
    resource: isResource ? resourceName(attributes) : attributes.path,
    namespace: isResource ? attributes.namespace : '',
    name: isResource ? attributes.name : '',
    command: command.length === 0 ? null : command,
  };
}

function decisionOf({ decision }: Pick<FrameMeta['call'], 'decision'>) {
  return { effect: decision.effect, reasonCode: decision.reasonCode };
}

/** As text, where it is one by itself: a character may be cut at the end of a frame. */
function bytesOf(bytes: Uint8Array): { readonly text: string } | { readonly bytesBase64: string } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(buffer) ? { text: buffer.toString() } : { bytesBase64: buffer.toString('base64') };
}

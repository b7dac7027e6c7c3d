import { decodeFrame, type Frame, FrameError, frameHashHolds, maxPayloadBytes, type ProofRow } from '@sluice/model';
import type { FaultCode } from './faults.ts';

/** A row as it was read. */
export interface ReadRow {
  /** What the header says; `null` where the row holds no frame of its place. */
  readonly frame: Frame | null;
  readonly faults: readonly { readonly what: FaultCode; readonly message: string }[];
}

/** A body over this size is no frame's: there is no need to read it. */
export const maxBodyBytes = maxPayloadBytes;

/** Holds a row's columns and body against its header. `body`: all of `row.size` bytes. */
export function readRow(ledger: string, row: ProofRow, body: Uint8Array): ReadRow {
  const header = Buffer.from(row.headerBase64, 'base64');
  const fault = (what: FaultCode, message: string) => ({ what, message });
  // Bytes could be moved from the body to the header and back, and their concatenation would stay what it was.
  const isWhole = header.length >= 4 && header.readUInt32BE(0) === header.length;
  if (!isWhole) return { frame: null, faults: [fault('header', 'the header is not as long as it says')] };
  const message = Buffer.concat([header, body]);
  let frame: Frame;
  try {
    frame = decodeFrame(message);
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
    return { frame: null, faults: [fault('header', `the header cannot be read: ${error.message}`)] };
  }
  const differing = differingColumns(ledger, row, frame);
  const faults = differing.map(([column, stored, said]) =>
    fault('column', `column ${column} says ${shown(stored)}, the header ${shown(said)}`),
  );
  if (body.byteLength !== row.size || !frameHashHolds(message)) {
    faults.push(fault('hash', 'header and bytes are not those the hash was made of'));
  }
  const isOfThisPlace = frame.ledger === ledger && frame.seq === row.seq;
  return { frame: isOfThisPlace ? frame : null, faults };
}

function differingColumns(ledger: string, row: ProofRow, frame: Frame): [string, string | number, string | number][] {
  const pairs: [string, string | number, string | number][] = [
    ['ledger', ledger, frame.ledger],
    ['seq', row.seq, frame.seq],
    ['call', row.call, frame.call],
    ['session', row.session, frame.session],
    ['kind', row.kind, frame.kind],
    ['at', row.atMicros, frame.atMicros],
    ['offset', row.offset, frame.offset],
    ['meta', row.meta, frame.meta],
  ];
  return pairs.filter(([, stored, said]) => stored !== said);
}

/** Long enough to be recognised. */
function shown(value: string | number): string {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

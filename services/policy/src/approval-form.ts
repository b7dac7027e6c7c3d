// Reads `approval` of a rule that asks. Pure.
import { type ApprovalTerms, longestApprovalMs } from '@sluice/model';
import { isScalar, type Node } from 'yaml';
import type { FormReader } from './reader.ts';
import { defaultTerms } from './terms.ts';

/** `group:NAME` or `ISSUER:NAME`. Reviewers are named and no pattern, so a `*` would never fit one. */
const reviewerForm = /^[^\s:*][^\s*]*:[^\s*]*[^\s:*]$/;
const holds = { shortestMs: 0, longestMs: 10 * 60_000 } as const;
const expiries = { shortestMs: 10_000, longestMs: longestApprovalMs } as const;

/** What is left out is as in `defaultTerms`. Faults are reported to `form`. */
export function readApproval(form: FormReader, node: Node): ApprovalTerms {
  const map = form.map(node, ['reviewers', 'quorum', 'hold', 'expires', 'grant'], 'an approval');
  if (map === null) return defaultTerms;
  const reviewers = form.forms(
    map.get('reviewers', true),
    (reviewer) => reviewerForm.test(reviewer),
    'a reviewer is group:NAME or ISSUER:NAME, such as local:alice; * has no meaning here',
  );
  const quorum = map.get('quorum', true);
  if (quorum !== undefined && !(isScalar(quorum) && quorum.value === 1))
    form.fault(quorum, 'quorum must be 1: one reviewer decides');
  if (map.has('grant')) form.constant(map, 'grant', 'once');
  const holdMs =
    form.duration(map, 'hold', holds, 'hold is how long the call is kept waiting: 0s, 30s or 5m, at most 10m') ??
    defaultTerms.holdMs;
  const expiresMs =
    form.duration(map, 'expires', expiries, 'expires is how long the approval is open: 10s, 30m or 4h, at most 12h') ??
    defaultTerms.expiresMs;
  if (holdMs > expiresMs) form.fault(map.get('hold', true), 'hold must not be longer than expires');
  return {
    reviewers: map.has('reviewers') ? [reviewers] : [],
    quorum: defaultTerms.quorum,
    holdMs,
    expiresMs,
  };
}

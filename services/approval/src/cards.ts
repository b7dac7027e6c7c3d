// Approvals as people see them. Pure.
import {
  type ApprovalCard,
  type ApprovalRequest,
  type ApprovalRow,
  type RequestAttributes,
  type ResourceAttributes,
  resourceName,
} from '@sluice/model';
import { type Approval, stateAt } from './fold.ts';

/** `agent "demo" wants to delete deployments.apps "web" in namespace "shop"`, or `… to run ls in pod "web" in namespace "shop"`. */
export function summaryOf({
  agent,
  attributes,
  stream,
}: Pick<ApprovalRequest, 'agent' | 'attributes' | 'stream'>): string {
  const isStream = stream !== undefined && attributes.kind === 'resource';
  const about = isStream ? `${aim(stream)} pod${named(attributes)}` : what(attributes);
  return `agent "${agent.name}" wants to ${about}`;
}

/** The whole command is on the card; here is its first word, where that is one. */
function aim({ kind, command }: NonNullable<ApprovalRequest['stream']>): string {
  if (kind === 'attach') return 'attach to';
  if (kind === 'portforward') return 'forward ports of';
  const [program = ''] = command;
  return `run ${/^[\w./-]{1,64}$/.test(program) ? program : 'a command'} in`;
}

function what(attributes: RequestAttributes): string {
  if (attributes.kind === 'nonResource') return `${attributes.verb} ${attributes.path}`;
  return `${attributes.verb} ${resourceName(attributes)}${named(attributes)}`;
}

/** ` "web" in namespace "shop"`. */
function named({ namespace, name, resource }: ResourceAttributes): string {
  const object = name === '' ? '' : ` "${name}"`;
  const place = namespace === '' || resource === 'namespaces' ? '' : ` in namespace "${namespace}"`;
  return object + place;
}

export function rowOf(approval: Approval, nowMs: number): ApprovalRow {
  const { id, request, requestedAtMs, expiresAtMs, votes } = approval;
  return {
    id,
    state: stateAt(approval, nowMs),
    agent: request.agent.name,
    task: null,
    summary: summaryOf(request),
    requestedAt: iso(requestedAtMs),
    expiresAt: iso(expiresAtMs),
    votes: votes.map(({ reviewer, vote, reason, more, atMs }) => ({
      reviewer: reviewer.name,
      vote,
      reason,
      at: iso(atMs),
      more,
    })),
  };
}

/** `body`: the masked request body, or its beginning. */
export function cardOf(approval: Approval, body: Uint8Array, nowMs: number): ApprovalCard {
  return {
    ...rowOf(approval, nowMs),
    request: approval.request,
    body: Buffer.from(body).toString(),
    joined: approval.joined,
    uses: approval.uses.map(({ call, atMs, end }) => ({ call, at: iso(atMs), end })),
  };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

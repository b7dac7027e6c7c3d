// Approvals as people see them. Pure.
import {
  type ApprovalCard,
  type ApprovalRequest,
  type ApprovalRow,
  type RequestAttributes,
  resourceName,
} from '@sluice/model';
import { type Approval, stateAt } from './fold.ts';

/** `agent "demo" wants to delete deployments.apps "web" in namespace "shop"`. */
export function summaryOf({ agent, attributes }: Pick<ApprovalRequest, 'agent' | 'attributes'>): string {
  return `agent "${agent.name}" wants to ${what(attributes)}`;
}

function what(attributes: RequestAttributes): string {
  if (attributes.kind === 'nonResource') return `${attributes.verb} ${attributes.path}`;
  const { verb, namespace, name, resource } = attributes;
  const object = name === '' ? '' : ` "${name}"`;
  const place = namespace === '' || resource === 'namespaces' ? '' : ` in namespace "${namespace}"`;
  return `${verb} ${resourceName(attributes)}${object}${place}`;
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

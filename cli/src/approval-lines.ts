// An approval as people read it in the timeline of a call.
import type { FrameMeta, ReviewedObject } from '@sluice/model';

/**
 * What an event says, as lines of which the first stands behind its time. Empty for what tells nothing that other lines
 * do not. `call`: the one whose timeline it is.
 */
export function approvalLines({ approval, atMs, event }: FrameMeta['approval'], call: string): readonly string[] {
  const callName = (id: string): string => (id === call ? 'this call' : `call ${oneLine(id)}`);
  switch (event.kind) {
    case 'requested': {
      const { mayDiffer, terms } = event.request;
      const until = new Date(atMs + terms.expiresMs).toISOString().replace('T', ' ').slice(0, 19);
      const quorum = terms.quorum === 1 ? '' : `, by ${terms.quorum} reviewers`;
      const lines = [`asks for approval ${oneLine(approval)}${quorum}; it expires ${until} UTC`];
      if (mayDiffer.length > 0) lines.push(`may differ from one try to the next: ${mayDiffer.map(oneLine).join(', ')}`);
      return lines;
    }
    case 'joined':
      return [`${callName(event.joined.call)}, of the same command, asks with it`];
    case 'voted': {
      const { vote, reviewer, reason, more } = event;
      const further = more === 0 ? '' : `, with ${more} further ${more === 1 ? 'call' : 'calls'} of the command`;
      const verb = vote === 'approve' ? 'approves' : 'denies';
      return [`${oneLine(reviewer.name)} ${verb}${further}`, ...(reason === '' ? [] : [`"${oneLine(reason)}"`])];
    }
    case 'cancelled':
      return ['the approval is cancelled: nobody waits for it any more'];
    case 'expired':
      return ['the approval expires'];
    case 'taken':
      return [`the approval is used for ${callName(event.call)}`];
    case 'concluded':
      return event.end === 'known' ? [] : [`nobody knows whether ${callName(event.call)} took effect`];
  }
}

/** The decision by an approval; likewise. */
export function secondDecisionLines(meta: FrameMeta['decision']): readonly string[] {
  const { decision, approval, reviewers, precondition } = meta;
  const by = reviewers.length === 0 ? '' : ` by ${reviewers.map(oneLine).join(', ')}`;
  const lines = [`${decision.effect}: ${decision.reasonCode}${by}, approval ${oneLine(approval)}`];
  if (decision.reason !== '') lines.push(decision.reason);
  const bound = boundTo(precondition);
  if (bound !== '') lines.push(bound);
  if (decision.impersonate !== null) lines.push(`in the cluster: ${decision.impersonate.user}`);
  return lines;
}

function boundTo(object: ReviewedObject): string {
  switch (object.kind) {
    case 'known':
      return `bound to the object with uid ${oneLine(object.uid)}, resourceVersion ${oneLine(object.resourceVersion)}`;
    case 'absent':
      return 'bound to there being no such object';
    case 'unreadable':
      return `bound to no version of the object, which could not be read: ${oneLine(object.why)}`;
    case 'none':
      return '';
  }
}

/** What somebody wrote makes no lines of its own, which could look like Sluice's. */
function oneLine(text: string): string {
  return text.replaceAll('\n', '\\n');
}

import {
  type ApprovalCard,
  type ApprovalRequest,
  type ApprovalRow,
  type ApprovalState,
  approvalStates,
  type Grade,
  type RequestAttributes,
  type ReviewedObject,
  resourceName,
  reviewedBodyBytes,
} from '@sluice/model';
import { kubectlLine, streamIn } from './command-line.ts';
import { roughly } from './duration.ts';
import { layOutJson } from './json.ts';
import { onOneLine, placeOf, printable, shortened, table, wrap } from './text.ts';

/** As wide as a telephone. Characters. */
const width = 60;
const column = 11;
const maxSummaryChars = 200;
/** So many further calls of a command are shown. */
const shownJoined = 20;

/** Approvals as people read them. `nowMs`: since the epoch. */
export function approvalsTable(rows: readonly ApprovalRow[], nowMs: number): string {
  if (rows.length === 0) return 'No approvals.\n';
  return table(
    ['AGE', 'ID', 'STATE', 'AGENT', 'SUMMARY', 'EXPIRES'],
    rows.map(({ id, state, agent, summary, requestedAt, expiresAt }) => [
      roughly(nowMs - Date.parse(requestedAt)),
      id,
      state,
      agent,
      shortened(summary, maxSummaryChars),
      isOpen(state) ? `in ${roughly(Date.parse(expiresAt) - nowMs)}` : '-',
    ]),
  );
}

/**
 * All that a reviewer has to know, as wide as a telephone where words allow it. After the first line, which is the
 * summary, nothing that an agent wrote begins a line. `nowMs`: since the epoch.
 */
export function cardText(card: ApprovalCard, nowMs: number): string {
  const { request } = card;
  const lines = [
    wrap(onOneLine(card.summary), width - 2, '  '),
    '',
    ...streamLines(request),
    ...row('state', stateOf(card, nowMs)),
    ...row('why', request.reason),
    ...row('rule', `"${request.rule}" of policy "${request.policy}"`),
    ...row('reviewers', reviewersOf(card)),
    ...row('cluster', request.connection),
    ...row('agent', `${request.agent.name} (${request.agent.issuer})`),
    ...row('groups', request.agent.groups.join(', ')),
    ...row('task', card.task ?? ''),
    ...objectOf(request.object).flatMap((said, index) => row(index === 0 ? 'object' : '', said)),
    ...row('asked', `${roughly(nowMs - Date.parse(card.requestedAt))} ago, ${second(card.requestedAt)}`),
    ...row('call', request.call),
    ...row('request', request.method),
    `  ${onOneLine(request.target)}`,
    ...bodyLines(card),
    ...row('may vary', request.mayDiffer.length === 0 ? '' : `${request.mayDiffer.join(', ')}, in another try`),
    ...joinedLines(card),
    ...card.votes.flatMap((vote) => row('vote', voteText(vote))),
    ...card.uses.flatMap(({ call, at, end }) => row('use', `${second(at)} by call ${call}: ${endOf(end)}`)),
    ...(card.state === 'pending' ? ['', ...commands(card.id)] : []),
  ];
  return `${lines.join('\n')}\n`;
}

/** What is now the case, on one line. */
export function standingLine({ id, state, summary, votes, request }: ApprovalCard): string {
  const approvals = votes.filter(({ vote }) => vote === 'approve').length;
  const missing = state === 'pending' ? `, with ${approvals} of ${request.terms.quorum} approvals` : '';
  return `${onOneLine(`${id} is ${state}${missing}: ${summary}`)}\n`;
}

/** A label and what there is to say, on lines that begin at the same place; nothing where that is empty. */
function row(label: string, text: string): string[] {
  return text === '' ? [] : [label.padEnd(column) + wrap(onOneLine(text), width - column, ' '.repeat(column))];
}

/** What may be said of what a stream runs. */
const grades: Readonly<Record<Grade, string>> = {
  plain: 'the command says all that it runs',
  opaque: 'the command does not say what it runs in the end',
  interactive: 'what is typed decides what it runs',
};

/** What somebody wants to run, before all else; nothing for what is no stream. */
function streamLines({ attributes, target, stream }: ApprovalRequest): string[] {
  const asked = stream ?? streamIn(attributes, target);
  if (asked === null || attributes.kind !== 'resource') return [];
  const given = [...(asked.stdin ? ['stdin'] : []), ...(asked.tty ? ['a terminal'] : [])].join(' and ');
  const lines = [
    ...row('command', kubectlLine(attributes.namespace, attributes.name, asked)),
    ...row('container', asked.kind === 'portforward' ? '' : asked.container || "the pod's only one, or its default"),
    ...row('input', asked.kind === 'portforward' ? '' : given || 'none'),
  ];
  if (stream === undefined) return [...lines, ''];
  const { grade, pod } = stream;
  return [
    ...lines,
    ...row('grade', stream.kind === 'portforward' ? '' : `${grade}: ${grades[grade]}`),
    ...row('pod', pod === null ? 'could not be read' : `uid ${pod.uid}`),
    ...row(
      'secrets',
      pod === null || pod.secrets.length === 0 ? '' : `${pod.secrets.join(', ')}, which the pod refers to`,
    ),
    '',
  ];
}

function stateOf({ state, expiresAt }: ApprovalRow, nowMs: number): string {
  const said = `${state}: ${approvalStates[state]}`;
  if (!isOpen(state)) return said;
  return `${said}; open for ${roughly(Date.parse(expiresAt) - nowMs)} more, until ${second(expiresAt)}`;
}

/** Whether time still changes it. */
function isOpen(state: ApprovalState): boolean {
  return state === 'pending' || state === 'approved';
}

function reviewersOf({ request }: ApprovalCard): string {
  const { reviewers, quorum } = request.terms;
  const people = quorum === 1 ? 'anybody' : `${quorum} people`;
  if (reviewers.length === 0) return people;
  const fitting = reviewers.map((entries) => entries.join(' or ')).join(', and ');
  return `${people} who ${quorum === 1 ? 'is' : 'each are'} ${fitting}`;
}

function objectOf(object: ReviewedObject): string[] {
  switch (object.kind) {
    case 'known':
      return [`resourceVersion ${object.resourceVersion}`, `uid ${object.uid}`];
    case 'absent':
      return ['is not there yet'];
    case 'unreadable':
      return [`could not be read: ${object.why}`];
    case 'none':
      return ['none: the call is about no single one'];
  }
}

/** JSON is laid out; a body of which only the beginning is here is shown as it is. */
function bodyLines({ request, body }: ApprovalCard): string[] {
  if (request.bodyBytes === 0) return [];
  const lines = printable(layOutJson(body) ?? body)
    .split('\n')
    .map((text) => `  ${text}`);
  // The beginning may end inside a character, which is then written as three bytes of another one.
  const more = request.bodyBytes - Math.min(Buffer.byteLength(body), reviewedBodyBytes);
  if (more > 0) lines.push(`  … ${more} more bytes: npx --no-install sluice replay ${onOneLine(request.call)} --full`);
  return body === '' ? lines.slice(1) : lines;
}

function joinedLines({ joined }: ApprovalCard): string[] {
  const lines = joined.slice(0, shownJoined).flatMap((call) => row('also asked', joinedText(call)));
  return joined.length > shownJoined
    ? [...lines, ...row('', `… ${joined.length - shownJoined} more: --json has them`)]
    : lines;
}

function joinedText({ attributes, target }: ApprovalCard['joined'][number]): string {
  const asked = streamIn(attributes, target);
  if (asked === null || attributes.kind !== 'resource') return aboutOf(attributes);
  return kubectlLine(attributes.namespace, attributes.name, asked);
}

function aboutOf(attributes: RequestAttributes): string {
  if (attributes.kind === 'nonResource') return `${attributes.verb} ${attributes.path}`;
  const { verb, namespace, name } = attributes;
  return `${verb} ${resourceName(attributes)}${placeOf(namespace, name)}`;
}

function voteText({ reviewer, vote, reason, at, more }: ApprovalCard['votes'][number]): string {
  const further = more === 0 ? '' : `, and up to ${more} further calls`;
  const said = reason === '' ? '' : `: ${reason}`;
  return `${second(at)} ${reviewer}: ${vote}${further}${said}`;
}

function endOf(end: ApprovalCard['uses'][number]['end']): string {
  if (end === null) return 'on its way';
  return end === 'known' ? 'it has an outcome' : 'nobody knows whether it took effect';
}

function commands(id: string): string[] {
  const approvals = 'npx --no-install sluice approvals';
  return [`${approvals} approve ${onOneLine(id)}`, `${approvals} deny ${onOneLine(id)} --reason "…"`];
}

/** UTC. */
function second(at: string): string {
  return `${at.replace('T', ' ').slice(0, 19)} UTC`;
}

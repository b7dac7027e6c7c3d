import { readFileSync } from 'node:fs';
import {
  type ApplyAnswer,
  type ApprovalTerms,
  addsContainers,
  type Decision,
  type DecisionRequest,
  encodeDecisionRequest,
  type MaskRule,
  type RequestAttributes,
  resourceName,
} from '@sluice/model';
import { localIssuer } from '@sluice/runtime/identity';
import { durationText } from './duration.ts';
import { type HomePaths, readState } from './home.ts';
import { askCompiler, faultLines, readPolicyFiles } from './policy-files.ts';
import { askRunning } from './running.ts';
import { printable } from './text.ts';

/** Several lines for people: where policies are at fault. */
export class PolicyFaults extends Error {}

/** `sluice policy check`. Throws `PolicyFaults`. */
export async function checkPolicies(paths: readonly string[], out: NodeJS.WritableStream): Promise<void> {
  const answer = await askCompiler({ kind: 'check', ...readPolicyFiles(paths), issuers: [localIssuer] });
  if (answer.kind === 'faults') throw new PolicyFaults(faultLines(answer.faults).join('\n'));
  if (answer.kind === 'compiled') out.write(`${answer.policies} policies, ${answer.rules} rules: no faults\n`);
}

/** `sluice policy apply`. Throws `PolicyFaults`. */
export async function applyPolicies(home: HomePaths, dir: string, out: NodeJS.WritableStream): Promise<void> {
  const reply = await askRunning(home, '/v1/policies', JSON.stringify(readPolicyFiles([dir])));
  if (reply === null) throw new Error('no Sluice runs here; start it with these policies: sluice up --policies DIR');
  const answer = JSON.parse(reply.toString()) as ApplyAnswer;
  if (answer.kind === 'faults') throw new PolicyFaults(`${faultLines(answer.faults).join('\n')}\nNothing has changed.`);
  if (answer.kind === 'failed') throw new Error(answer.message);
  const { policies, rules, version, authority, members } = answer;
  out.write(
    `${policies} policies, ${rules} rules in force (version ${version}, authority ${authority}) on ${members.ingress} ingress and ${members.policy} policy processes\n`,
  );
}

export interface ExplainOptions {
  readonly as: string;
  readonly group: readonly string[];
  readonly verb: string;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly connection?: string;
  readonly policies?: string;
  readonly object?: string;
  readonly pod?: string;
  readonly tty?: boolean;
  readonly stdin?: boolean;
  readonly port?: number;
  readonly command?: readonly string[];
  readonly json?: true;
}

/** `sluice policy explain`: by the policies in force, or by those in a file. Throws `PolicyFaults`. */
export async function explainPolicy(
  home: HomePaths,
  options: ExplainOptions,
  out: NodeJS.WritableStream,
): Promise<void> {
  const decision = await decide(home, options);
  const { effect, policy, rule, reasonCode, grade } = decision;
  const reason = effect === 'allow' ? '' : decision.reason;
  const obligations = effect === 'deny' ? null : decision.obligations;
  const terms = effect === 'ask' ? decision.terms : null;
  if (options.json) {
    out.write(`${JSON.stringify({ effect, policy, rule, reasonCode, reason, obligations, terms, grade })}\n`);
    return;
  }
  const identity = obligations?.impersonate;
  const lines = [
    ['effect', effect],
    ['grade', grade ?? ''],
    ['policy', policy],
    ['rule', rule],
    ['reason code', reasonCode],
    ['reason', reason],
    ['hint', effect === 'allow' ? '' : decision.hint],
    ['reviewers', terms === null ? '' : reviewersText(terms)],
    ['hold', terms === null ? '' : durationText(terms.holdMs)],
    ['expires', terms === null ? '' : durationText(terms.expiresMs)],
    ['identity', identity === undefined ? '' : `${identity.user} (${identity.groups.join(', ')})`],
    ['record', obligations?.record ?? ''],
    ['deadline', obligations?.deadline === undefined ? '' : new Date(obligations.deadline).toISOString()],
    ['mask', obligations?.mask === undefined ? '' : maskText(obligations.mask)],
  ] as const;
  for (const [what, value] of lines) if (value !== '') out.write(`${what.padEnd(13)}${printable(value)}\n`);
}

/** `anyone`, or `group:sre or local:alice`; of several lists one of each: `group:sre, and group:shop or local:alice`. */
function reviewersText({ reviewers }: ApprovalTerms): string {
  return reviewers.length === 0 ? 'anyone' : reviewers.map((list) => list.join(' or ')).join(', and ');
}

/** `none`, or `configmaps: .data.a, keys *-dsn, detectors jwt; pods: …`. */
function maskText(mask: 'none' | readonly MaskRule[]): string {
  if (mask === 'none') return mask;
  const named = (what: string, names: readonly string[]): string[] =>
    names.length === 0 ? [] : [`${what}${names.join(', ')}`];
  return mask
    .map(({ resources, paths, keys, detectors }) => {
      const masked = [...named('', paths), ...named('keys ', keys), ...named('detectors ', detectors)];
      return `${resources.join(', ')}: ${masked.join(', ')}`;
    })
    .join('; ');
}

async function decide(home: HomePaths, options: ExplainOptions): Promise<Decision> {
  const [object, pod] = [options.object, options.pod].map((file) =>
    file === undefined ? '' : readFileSync(file, 'utf8'),
  ) as [string, string];
  const request = {
    ...requestOf(options, readState(home)?.connection ?? ''),
    ...(object !== '' && pod !== '' && { bodyBytes: Buffer.byteLength(object) }),
  };
  const masked = object + pod;
  if (options.policies !== undefined) {
    const files = readPolicyFiles([options.policies]);
    const answer = await askCompiler({ kind: 'explain', ...files, issuers: [localIssuer], request, masked });
    if (answer.kind === 'faults') throw new PolicyFaults(faultLines(answer.faults).join('\n'));
    if (answer.kind === 'decision') return answer.decision;
  }
  // It has not been masked, so it must not travel.
  if (masked !== '') throw new Error('--object and --pod need --policies: they are looked at here, and sent nowhere');
  const reply = await askRunning(home, '/v1/decide', encodeDecisionRequest(request, Buffer.alloc(0)));
  if (reply === null) throw new Error('no Sluice runs here; name the policies: --policies deploy/examples/policies');
  // The first 32 bytes are for ingress, which holds the key.
  return JSON.parse(reply.toString('utf8', 32)) as Decision;
}

function requestOf(options: ExplainOptions, connection: string): DecisionRequest {
  const isApply = options.verb === 'apply';
  const hasBody = options.object !== undefined;
  const attributes = attributesOf({ ...options, verb: isApply ? 'patch' : options.verb });
  return {
    call: '',
    digest: '',
    agent: { name: options.as, issuer: localIssuer, groups: options.group },
    connection: options.connection ?? connection,
    attributes,
    generateName: '',
    body: isApply ? 'apply' : hasBody ? 'json' : 'none',
    ...streamOf(options, attributes),
  };
}

/** What makes a question one about what runs in a pod. */
function streamOf(
  { command = [], tty = false, stdin = false, port, pod }: ExplainOptions,
  attributes: RequestAttributes,
): Pick<DecisionRequest, 'stream' | 'pod' | 'port'> {
  const isPod = attributes.kind === 'resource' && resourceName({ ...attributes, subresource: '' }) === 'pods';
  const kind = isPod ? attributes.subresource : '';
  const known = { pod: pod === undefined ? 'absent' : 'read' } as const;
  if (kind !== 'exec' && kind !== 'attach' && kind !== 'portforward') {
    if (command.length > 0 || tty || stdin || port !== undefined)
      throw new Error('a command, --tty, --stdin and --port are for pods/exec, pods/attach and pods/portforward');
    if (addsContainers(attributes)) return known;
    if (pod === undefined) return {};
    throw new Error('--pod is for pods/exec, pods/attach, pods/portforward, and changes of pods/ephemeralcontainers');
  }
  return {
    stream: { kind, command, container: '', stdin, stdout: true, stderr: !tty, tty, ports: [] },
    ...known,
    ...(port === undefined ? {} : { port }),
  };
}

function attributesOf({ verb, resource: written, namespace, name }: ExplainOptions): RequestAttributes {
  if (written.startsWith('/')) return { kind: 'nonResource', verb, path: written };
  const slash = written.indexOf('/');
  const full = slash === -1 ? written : written.slice(0, slash);
  const subresource = slash === -1 ? '' : written.slice(slash + 1);
  const dot = full.indexOf('.');
  const resource = dot === -1 ? full : full.slice(0, dot);
  const apiGroup = dot === -1 ? '' : full.slice(dot + 1);
  return { kind: 'resource', verb, apiGroup, version: '', resource, subresource, namespace, name };
}

// `when`: an expression in CEL (cel.dev), checked when the policy is compiled. Pure.
import { type ASTNode, Environment } from '@marcbachmann/cel-js';

/** A checked expression. It is evaluated in a thread of its own, from its text. */
export interface Condition {
  readonly text: string;
  /** Whether it looks at the request's body. */
  readonly readsBody: boolean;
  /** Whether it looks at the pod that something runs in. */
  readonly readsPod: boolean;
}

/** Code `FaultyCondition`: an expression that no rule may have. */
export class FaultyCondition extends Error {
  readonly code = 'FaultyCondition';
  /** The character at fault, from 0. */
  readonly at: number;
  constructor(message: string, at = 0) {
    super(message);
    this.at = at;
  }
}

/** Longer ones are refused. Characters. */
const maxTextLength = 4_096;

const text = 'string';
/**
 * What an expression may speak of. `object` is the masked body: of a patch, what the patch says and no more. Without a
 * body, or with a JSON patch, there is none, and a condition that needs it is an error. `exec` is there for what runs in
 * a pod and for port-forwards (`kind`: exec, attach or portforward; `port`: 0 while none is asked about), `pod` for those
 * of a pod that exists: as it is, masked, without its status, and in `pod.secrets` the names of the Secrets that it and
 * what the body adds to it refer to.
 */
const variables = {
  request: {
    verb: text,
    apiGroup: text,
    version: text,
    resource: text,
    subresource: text,
    namespace: text,
    name: text,
    generateName: text,
    path: text,
    connection: text,
  },
  agent: { name: text, issuer: text, groups: 'list<string>' },
  exec: {
    kind: text,
    command: 'list<string>',
    container: text,
    stdin: 'bool',
    tty: 'bool',
    grade: text,
    port: 'int',
  },
} as const;

/** Names of all variables. */
export const variableNames = ['request', 'agent', 'object', 'now', 'exec', 'pod'] as const;
/** Of those that are there for every call. */
const everywhere = variableNames.slice(0, 4);

/** What expressions are parsed in about calls that are no streams. */
const plain = new Environment({
  enableOptionalTypes: true,
  limits: { maxAstNodes: 1_000, maxDepth: 50, maxListElements: 200, maxMapEntries: 200, maxCallArguments: 16 },
})
  .registerVariable({ name: 'request', schema: variables.request })
  .registerVariable({ name: 'agent', schema: variables.agent })
  .registerVariable('object', 'dyn')
  .registerVariable('now', 'google.protobuf.Timestamp');
const withoutPod = plain.clone().registerVariable({ name: 'exec', schema: variables.exec });

/** What expressions are evaluated in. */
export const environment = withoutPod.clone().registerVariable('pod', 'dyn');

/**
 * Checks an expression. `secrets`: whether its rule can match Secrets; `streams`: whether it can match an exec, an attach
 * or a port-forward. Throws `FaultyCondition`.
 */
export function checkCondition(
  source: string,
  { secrets, streams = false }: { readonly secrets: boolean; readonly streams?: boolean },
): Condition {
  if (source.length > maxTextLength)
    throw new FaultyCondition(`a condition has at most ${maxTextLength} characters; make several rules of it`, 0);
  let ast: ASTNode;
  try {
    const parsed = (streams ? environment : plain).parse(source);
    const { valid, type, error } = parsed.check();
    if (!valid) throw error ?? new Error('not valid');
    if (type !== 'bool' && type !== 'dyn')
      throw new FaultyCondition(`a condition is true or false, and this one is of the type ${type}`, 0);
    ast = parsed.ast;
  } catch (error) {
    if (error instanceof FaultyCondition) throw error;
    const { message, range } = error as { readonly message: string; readonly range?: { readonly start: number } };
    const [first = ''] = message.split('\n');
    throw new FaultyCondition(
      `not a condition in CEL: ${first}; known here: ${(streams ? variableNames : everywhere).join(', ')}`,
      range?.start,
    );
  }
  let readsBody = false;
  visit(ast, (node, isAsked) => {
    if (node.op === 'id' && node.args === 'object') readsBody = true;
    const masked = maskedPath(node, secrets && !isAsked);
    if (masked === '') return;
    const way = masked === lastApplied ? '' : '; has() of it works';
    throw new FaultyCondition(
      `${masked} is masked before a policy sees it, so a condition on its value means nothing${way}`,
      node.range.start,
    );
  });
  // A name in a macro may be `pod` too, and be something else.
  return { text: source, readsBody, readsPod: streams && !withoutPod.parse(source).check().valid };
}

const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

/** What an expression reads here although it is masked; empty when nothing. */
function maskedPath(node: ASTNode, secrets: boolean): string {
  if (node.op === 'value' && node.args === lastApplied) return lastApplied;
  if (!secrets) return '';
  const member = memberOf(node);
  return member?.of === 'object' && (member.name === 'data' || member.name === 'stringData')
    ? `object.${member.name}`
    : '';
}

/** `a.b`, `a["b"]` and their optional forms. */
function memberOf(node: ASTNode): { readonly of: string; readonly name: string } | null {
  if (node.op !== '.' && node.op !== '.?' && node.op !== '[]' && node.op !== '[?]') return null;
  const [of, key] = node.args as [ASTNode, ASTNode | string];
  const name = typeof key === 'string' ? key : key.op === 'value' ? key.args : '';
  return of.op === 'id' && typeof name === 'string' ? { of: of.args, name } : null;
}

/** Every node; `isAsked`: only whether it is there is asked, by a `has()`, which tells nothing of its value. */
function visit(node: ASTNode, see: (node: ASTNode, isAsked: boolean) => void, isAsked = false): void {
  see(node, isAsked);
  const asks = (node.op === 'call' && node.args[0] === 'has') || (isAsked && (node.op === '.' || node.op === '.?'));
  for (const child of childrenOf(node.args)) visit(child, see, asks);
}

function childrenOf(args: unknown): ASTNode[] {
  if (Array.isArray(args)) return args.flatMap(childrenOf);
  return typeof args === 'object' && args !== null && 'op' in args ? [args as ASTNode] : [];
}

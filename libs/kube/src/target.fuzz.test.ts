import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { RequestAttributes } from '@sluice/model';
import fc from 'fast-check';
import { requestAttributes } from './request-info.ts';
import { parseTarget, type Target, TargetError } from './target.ts';

interface Vector {
  readonly method: string;
  readonly target: string;
  readonly refused?: true;
  readonly verb?: string;
  readonly objectRef?: Readonly<Record<string, string>>;
  readonly path?: string;
}

const vectors = (
  JSON.parse(readFileSync(new URL('attribute-vectors.json', import.meta.url), 'utf8')) as {
    readonly groups: readonly { readonly vectors: readonly Vector[] }[];
  }
).groups.flatMap((group) => group.vectors);

test('the second reading of these tests is the server’s own, on every target that the server read', () => {
  // Another form than a path has rules of its own.
  const read = vectors.filter(({ refused, target }) => refused !== true && target.startsWith('/'));
  assert.ok(read.length > 800);
  for (const { method, target, verb, objectRef, path } of read) {
    const expected = { verb, ...(objectRef === undefined ? { path } : objectRef) };
    assert.deepEqual(goReading(method, target), expected, `${method} ${target}`);
  }
});

test('of 100,000 fuzzed targets, what is accepted is canonical and means to the server what it means to us', () => {
  let resources = 0;
  fc.assert(
    fc.property(method, fc.oneof(grammarTarget, mutatedTarget), (method, raw) => {
      const target = accepted(raw);
      if (target === null) return;
      const { canonical } = target;
      assert.deepEqual(parseTarget(canonical), target);
      const [path = '', query = ''] = canonical.split('?');
      assert.match(path, /^\/[!$-~]*$/);
      assert.doesNotMatch(path, /\/\/|\/\.{1,2}(\/|$)|[;\\]|%(?![0-9A-F]{2})|%(2F|5C|25|[01].|7F)/);
      assert.match(query, /^[!$-~]*$/);
      assert.doesNotMatch(query, /[;+\\]|%(?![0-9A-F]{2})|%0[0AD]/);
      const attributes = requestAttributes(method, target);
      if (attributes === null) return;
      if (attributes.kind === 'resource') resources += 1;
      assert.deepEqual(goReading(method, canonical), asLogged(attributes));
      assert.deepEqual(goReading(method, raw), asLogged(attributes));
    }),
    { numRuns: 100_000, seed: 20_261 },
  );
  assert.ok(resources > 20_000, `${resources} about resources`);
});

const of = (words: string): fc.Arbitrary<string> => fc.constantFrom(...words.split(' '));

const method = fc.oneof(
  { weight: 6, arbitrary: fc.constant('GET') },
  { weight: 4, arbitrary: of('HEAD POST PUT PATCH DELETE OPTIONS constructor') },
);

const segment = fc.oneof(
  {
    weight: 6,
    arbitrary: of('pods secrets nodes namespaces a b p status finalize watch proxy exec log scale v1 apps api apis'),
  },
  { weight: 1, arbitrary: of('system:node p:80 %61 %c3%a9 a%20b x+y %3F %3b a%23 ... WATCH Namespaces nam%65spaces') },
  { weight: 1, arbitrary: fc.constantFrom('', '.', '..', '%2e%2E', '%2f', '%5c', '%25', '%00', '%ff', ';x', '#', '%') },
);
const root = of('/api/v1 /apis/apps/v1 /api /apis /version /API/v1 / /api/v1/namespaces/a /apis/apps/v1/namespaces/a');
const parameter = fc.oneof(
  of(
    'watch watch= watch=0 watch=FALSE watch=fal%C5%BFe watch=1 wat%63h=false Watch=1 dryRun=All command=a+b&command=c',
  ),
  of('limit=5 limit=x limit= limit=-1 timeoutSeconds=30 timeoutSeconds=1m continue=%2b/ a=1;b %zz %ff=1 a=%0a & = #'),
  of('labelSelector=a%3Db labelSelector=a=b,!c labelSelector=a+in+(b,c) labelSelector=a==,b!= labelSelector=-a'),
  fc
    .array(of('metadata.name=s metadata.name==t metadata.name!=u metadata.name x=y x , = ! %5C %2C + / %25 .. type'), {
      minLength: 1,
      maxLength: 4,
    })
    .map((parts) => `fieldSelector=${parts.join('')}`),
  fc
    .array(of('metadata.name=s metadata.name!=u type=x type!=y'), { minLength: 1, maxLength: 2 })
    .map((parts) => `fieldSelector=${parts.join(',')}`),
);
const grammarTarget = fc
  .tuple(root, fc.array(segment, { maxLength: 6 }), fc.array(parameter, { maxLength: 3 }))
  .map(([root, segments, query]) => [[root, ...segments].join('/'), ...(query.length === 0 ? [] : [query.join('&')])])
  .map((parts) => parts.join('?'));

const edit = fc.record({
  at: fc.nat(),
  removed: fc.nat({ max: 3 }),
  added: fc.oneof(
    fc.constantFrom(...'/.%?&=#;\\+:,!~*@ \0\n\u00e9aA0fF'.split(''), '%2e', '%2F', '%41', '%00', '%ff', '//', '/../'),
    fc.integer({ min: 0, max: 255 }).map((byte) => `%${byte.toString(16).padStart(2, '0')}`),
    fc.constant(''),
  ),
});
const mutatedTarget = fc
  .tuple(fc.constantFrom(...vectors.map(({ target }) => target)), fc.array(edit, { minLength: 1, maxLength: 3 }))
  .map(([target, edits]) =>
    edits.reduce((text, { at, removed, added }) => {
      const start = at % (text.length + 1);
      return text.slice(0, start) + added + text.slice(start + removed);
    }, target),
  );

/** The parse, or null where the target is refused; no other error may come out. */
function accepted(raw: string): Target | null {
  try {
    return parseTarget(raw);
  } catch (error) {
    if (error instanceof TargetError) return null;
    throw error;
  }
}

/** As an audit log has it: what is empty is not there. */
function asLogged(attributes: RequestAttributes): Record<string, string> {
  if (attributes.kind === 'nonResource') return { verb: attributes.verb, path: attributes.path };
  const { verb, version: apiVersion, apiGroup, resource, subresource, namespace, name } = attributes;
  return { verb, ...filled({ apiGroup, apiVersion, resource, subresource, namespace, name }) };
}

function filled(record: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).filter((entry): entry is [string, string] => !!entry[1]));
}

/**
 * What a Go server reads in a target: net/url and k8s.io/apiserver's RequestInfo, written a second time after their
 * rules. Undecodable escapes in the path are not read here: the server answers 400.
 */
function goReading(method: string, target: string): Record<string, string> | 'error' {
  const [rawPath = '', ...rest] = target.split('?');
  const query = goQuery(rest.join('?'));
  const path = goUnescape(rawPath);
  const parts = path.replaceAll(/^\/+|\/+$/g, '').split('/');
  const root = parts.shift();
  if (parts.length < 2 || !(root === 'api' || (root === 'apis' && parts.length >= 3))) {
    return { verb: method.toLowerCase(), path };
  }
  const apiGroup = root === 'apis' ? parts.shift() : '';
  const apiVersion = parts.shift();
  let verb = goVerbs.get(method) ?? '';
  if (parts[0] === 'watch' || parts[0] === 'proxy') {
    if (parts.length < 2) return 'error';
    verb = parts.shift() ?? '';
  }
  let namespace = '';
  if (parts[0] === 'namespaces' && parts.length > 1) {
    namespace = parts[1] ?? '';
    if (parts.length > 2 && !['status', 'finalize'].includes(parts[2] ?? '')) parts.splice(0, 2);
  }
  const [resource, named, third] = parts;
  let name = named ?? '';
  if (name === '' && verb === 'get') {
    const options = goListOptions(query);
    verb = options.watch ? 'watch' : 'list';
    if (!/[/%]|^\.{1,2}$/.test(options.name)) name = options.name;
  }
  if (name === '' && verb === 'delete') verb = 'deletecollection';
  const subresource = verb === 'proxy' ? '' : third;
  return { verb, ...filled({ apiGroup, apiVersion, resource, subresource, namespace, name }) };
}

const goVerbs = new Map(
  Object.entries({ POST: 'create', GET: 'get', HEAD: 'get', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }),
);

function goUnescape(text: string): string {
  const bytes: number[] = [];
  const raw = Buffer.from(text);
  for (let at = 0; at < raw.length; at += 1) {
    const escaped = raw[at] === 0x25;
    bytes.push(escaped ? Number.parseInt(raw.toString('latin1', at + 1, at + 3), 16) : (raw[at] as number));
    if (escaped) at += 2;
  }
  return Buffer.from(bytes).toString();
}

/** The first value of each parameter. Pairs that do not decode are dropped. */
function goQuery(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const pair of text.split('&')) {
    if (pair === '' || pair.includes(';') || /%(?![0-9a-fA-F]{2})/.test(pair)) continue;
    const [name = '', ...value] = pair.split('=').map((part) => goUnescape(part.replaceAll('+', ' ')));
    if (!values.has(name)) values.set(name, value.join('='));
  }
  return values;
}

function goListOptions(query: Map<string, string>): { readonly watch: boolean; readonly name: string } {
  const [watch, limit, timeout] = ['watch', 'limit', 'timeoutSeconds'].map((option) => query.get(option) ?? '0');
  const isReadable = isLabelSelector(query.get('labelSelector') ?? '') && [limit, timeout].every(isInt64);
  const name = isReadable ? goSelectedName(query.get('fieldSelector') ?? '') : null;
  // A broken option takes the others along, and `watch` is then read on its own, in another way.
  const isFalse = name === null ? watch?.toLowerCase() === 'false' : /^false$/iu.test(watch ?? '');
  return { watch: watch !== '0' && !isFalse, name: name ?? '' };
}

function isInt64(text = ''): boolean {
  return /^[-+]?[0-9]+$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);
}

/** `fields.ParseSelector`, then the first `metadata.name=` in sorted order; null where it does not parse. */
function goSelectedName(selector: string): string | null {
  const terms = (selector.match(/(?:\\[^]|[^,\\])+\\?|\\$/g) ?? []).sort();
  const found: string[] = [];
  for (const term of terms) {
    const at = term.search(/=|!=/);
    if (at === -1) return null;
    const operator = ['!=', '==', '='].find((operator) => term.startsWith(operator, at)) ?? '';
    const value = term.slice(at + operator.length);
    if (/[=,\\]/.test(value.replaceAll(/\\[=,\\]/g, ''))) return null;
    if (operator !== '!=' && term.slice(0, at) === 'metadata.name') found.push(value.replaceAll(/\\(.)/g, '$1'));
  }
  return found[0] ?? '';
}

/** `labels.Parse`, as far as these tests write selectors. */
function isLabelSelector(selector: string): boolean {
  if (selector === '') return true;
  const value = /^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/;
  const isValue = (text: string): boolean => value.test(text.trim());
  const isKey = (text: string): boolean => {
    const [name = '', prefix, more] = text.trim().split('/').reverse();
    const isPrefix =
      prefix === undefined ||
      /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/.test(prefix);
    return more === undefined && isPrefix && name !== '' && isValue(name);
  };
  // Commas inside of parentheses part values, not requirements.
  return selector.split(/,(?![^(]*\))/).every((requirement) => {
    const set = /^(.*?)\s+(?:not)?in\s*\((.*)\)\s*$/.exec(requirement);
    if (set !== null) return isKey(set[1] as string) && (set[2] as string).split(',').every(isValue);
    const [key = '', ...values] = requirement.split(/==|!=|=/);
    return (
      isKey(key.replace(/^\s*!/, '')) &&
      values.length < 2 &&
      (!key.startsWith('!') || values.length === 0) &&
      values.every(isValue)
    );
  });
}

// Policies: from YAML texts to a set that can be evaluated, or to errors with line and column. Pure.
import { createHash } from 'node:crypto';
import type { Impersonation } from '@sluice/model';
import { isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments, type YAMLMap } from 'yaml';
import { anyOf, type Matcher, type ResourceMatcher, resourceMatcher } from './match.ts';

/** A policy file: its name, for messages, and its text. */
export interface PolicyFile {
  readonly name: string;
  readonly text: string;
}

/** Every policy that is in force, compiled. */
export interface PolicySet {
  /** 16 hex digits: changes with any text. */
  readonly version: string;
  /** Sorted by name. */
  readonly policies: readonly Policy[];
}

export interface Policy {
  readonly name: string;
  readonly subjects: readonly Subject[];
  readonly connections: Matcher;
  readonly rules: readonly Rule[];
  /** Always there when a rule allows. */
  readonly impersonate: Impersonation | null;
}

/** Whom a policy is for. Empty `issuer`: the one that is configured. */
export interface Subject {
  readonly kind: 'agent' | 'group';
  readonly name: string;
  readonly issuer: string;
}

export type Rule = ResourceRule | NonResourceRule;

interface RuleBase {
  /** Its name, or `rules[2]`. */
  readonly name: string;
  readonly effect: 'allow' | 'deny';
  readonly verbs: Matcher;
  /** Empty unless the policy gives one. */
  readonly reason: string;
  /** As written, for hints: `get, list on pods, pods/log in shop-*`. */
  readonly summary: string;
}

export interface ResourceRule extends RuleBase {
  readonly kind: 'resource';
  readonly resources: ResourceMatcher;
  /** Matches the namespace; a call that has none matches only where this matches everything. */
  readonly namespaces: Matcher;
  readonly names: Matcher;
}

export interface NonResourceRule extends RuleBase {
  readonly kind: 'nonResource';
  readonly urls: Matcher;
}

/** A fault in a policy text. Line and column count from 1. */
export interface PolicyError {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Says what is wrong and what would be right. */
  readonly message: string;
}

export type Compiled =
  | { readonly kind: 'set'; readonly set: PolicySet }
  | { readonly kind: 'errors'; readonly errors: readonly PolicyError[] };

/** Compiles policy texts. `issuers`: the configured ones; a subject may leave its issuer out while there is one. */
export function compile(files: readonly PolicyFile[], issuers: readonly string[]): Compiled {
  const errors: PolicyError[] = [];
  const policies: Policy[] = [];
  const names = new Set<string>();
  for (const file of files) {
    const lines = new LineCounter();
    const report = (offset: number, message: string): void => {
      const { line, col } = lines.linePos(offset);
      errors.push({ file: file.name, line: Math.max(1, line), column: Math.max(1, col), message });
    };
    // Empty documents come from a trailing `---`.
    for (const document of parseAllDocuments(file.text, { lineCounter: lines, prettyErrors: false })) {
      for (const error of document.errors) report(error.pos[0], error.message);
      const { contents } = document;
      if (document.errors.length > 0 || contents === null || (isScalar(contents) && contents.value === null)) continue;
      const policy = new Reader(report, issuers, names).policy(contents);
      if (policy !== null) policies.push(policy);
    }
  }
  if (errors.length > 0) return { kind: 'errors', errors };
  if (policies.length === 0) {
    const file = files[0]?.name ?? '.';
    return {
      kind: 'errors',
      errors: [{ file, line: 1, column: 1, message: 'no AccessPolicy here; nobody could do anything' }],
    };
  }
  policies.sort((a, b) => (a.name < b.name ? -1 : 1));
  const hash = createHash('sha256');
  for (const text of files.map((file) => file.text).sort()) hash.update(`${text.length}:`).update(text);
  return { kind: 'set', set: { version: hash.digest('hex').slice(0, 16), policies } };
}

/** What rules may name: a word that is not in here would never match, and a deny with it would deny nothing. */
const verbs = {
  resource: ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete', 'deletecollection', 'proxy', '*'],
  nonResource: ['get', 'head', 'post', 'put', 'patch', 'delete', '*'],
} as const;
const resourceForm = /^(\*|[a-z0-9-]+)(\.[a-z0-9][a-z0-9.-]*)?(\/(\*|[a-z0-9-]+))?$/;
const urlForm = /^(\*|\/[^*]*\*?)$/;

class Reader {
  readonly #report: (offset: number, message: string) => void;
  readonly #issuers: readonly string[];
  /** Names of the policies read so far, by all readers. */
  readonly #names: Set<string>;
  #failed = false;

  constructor(report: (offset: number, message: string) => void, issuers: readonly string[], names: Set<string>) {
    this.#report = report;
    this.#issuers = issuers;
    this.#names = names;
  }

  policy(node: Node): Policy | null {
    const top = this.#map(node, ['apiVersion', 'kind', 'metadata', 'spec'], 'a policy');
    if (top === null) return null;
    this.#constant(top, 'apiVersion', 'sluice.internal/v1alpha1');
    this.#constant(top, 'kind', 'AccessPolicy');
    const metadata = this.#member(top, 'metadata', ['name']);
    const nameNode = metadata === null ? undefined : this.#need(metadata, 'name');
    const name = this.#text(nameNode);
    if (name !== '' && this.#names.has(name))
      this.#fault(nameNode, `there is a second policy named "${name}"; give each its own metadata.name`);
    this.#names.add(name);
    const spec = this.#member(top, 'spec', ['subjects', 'connections', 'rules', 'obligations']);
    if (spec === null) return null;
    const subjects = this.#list(this.#need(spec, 'subjects'), (item) => this.#subject(item));
    const connections = this.#globs(spec, 'connections');
    const rules = this.#list(this.#need(spec, 'rules'), (item, index) => this.#rule(item, index));
    const impersonate = this.#impersonate(spec);
    if (impersonate === null && rules.some(({ effect }) => effect === 'allow')) {
      this.#fault(
        spec,
        'a policy that allows needs obligations.impersonate: { user, groups }, the identity its calls have in the cluster',
      );
    }
    return this.#failed ? null : { name, subjects, connections, rules, impersonate };
  }

  #subject(node: Node): Subject {
    if (isScalar(node) && node.value === '*') return { kind: 'agent', name: '*', issuer: '' };
    const map = this.#map(node, ['agent', 'group', 'issuer'], 'a subject');
    if (map === null) return { kind: 'agent', name: '', issuer: '' };
    const [agent, group, issuer] = ['agent', 'group', 'issuer'].map((key) => map.get(key, true));
    if ((agent === undefined) === (group === undefined))
      this.#fault(map, 'a subject is either { agent: NAME } or { group: NAME }');
    if (issuer === undefined && this.#issuers.length !== 1)
      this.#fault(map, 'several issuers are configured; say which: { group: NAME, issuer: URL }');
    if (issuer !== undefined && !this.#issuers.includes(this.#text(issuer))) {
      this.#fault(issuer, `no such issuer is configured; known: ${this.#issuers.join(', ')}`);
    }
    return {
      kind: agent === undefined ? 'group' : 'agent',
      name: this.#text(agent ?? group),
      issuer: issuer === undefined ? '' : this.#text(issuer),
    };
  }

  #rule(node: Node, index: number): Rule {
    const fields = ['name', 'effect', 'verbs', 'resources', 'namespaces', 'names', 'nonResourceURLs', 'reason'];
    const map = this.#map(node, fields, 'a rule');
    const nothing = anyOf([]);
    if (map === null)
      return { kind: 'nonResource', name: '', effect: 'deny', verbs: nothing, reason: '', summary: '', urls: nothing };
    const effect = this.#text(this.#need(map, 'effect'));
    if (effect !== 'allow' && effect !== 'deny') this.#fault(map.get('effect', true) ?? map, 'effect is allow or deny');
    const known = verbs[map.has('nonResourceURLs') ? 'nonResource' : 'resource'];
    const verbsHere = this.#forms(
      this.#need(map, 'verbs'),
      (verb) => known.some((one) => one === verb),
      `no such verb; known here: ${known.join(', ')}`,
    );
    const base = {
      name: map.has('name') ? this.#text(map.get('name', true)) : `rules[${index}]`,
      effect: effect === 'allow' ? 'allow' : 'deny',
      verbs: anyOf(verbsHere),
      reason: map.has('reason') ? this.#text(map.get('reason', true)) : '',
    } as const;
    if (map.has('nonResourceURLs') === map.has('resources'))
      this.#fault(map, 'a rule has either resources or nonResourceURLs');
    if (map.has('nonResourceURLs')) {
      for (const key of ['namespaces', 'names']) {
        if (map.has(key)) this.#fault(map.get(key, true) ?? map, `${key} has no meaning beside nonResourceURLs`);
      }
      const urls = this.#forms(
        map.get('nonResourceURLs', true),
        (url) => urlForm.test(url),
        'a URL begins with /, and a * may stand only at its end',
      );
      return {
        ...base,
        kind: 'nonResource',
        urls: anyOf(urls),
        summary: `${verbsHere.join(', ')} on ${urls.join(', ')}`,
      };
    }
    const resources = this.#forms(
      map.get('resources', true),
      (resource) => resourceForm.test(resource),
      'a resource is written resource[.group][/subresource] in lower case; * stands for a whole resource or subresource',
    );
    const namespaces = this.#texts(map.get('namespaces', true));
    const names = this.#texts(map.get('names', true));
    const named = names.length === 0 ? '' : ` named ${names.join(', ')}`;
    const place = namespaces.length === 0 ? '' : ` in ${namespaces.join(', ')}`;
    return {
      ...base,
      kind: 'resource',
      resources: resourceMatcher(resources),
      namespaces: anyOf(map.has('namespaces') ? namespaces : ['*']),
      names: anyOf(map.has('names') ? names : ['*']),
      summary: `${verbsHere.join(', ')} on ${resources.join(', ')}${named}${place}`,
    };
  }

  #impersonate(spec: YAMLMap): Impersonation | null {
    if (!spec.has('obligations')) return null;
    const obligations = this.#member(spec, 'obligations', ['impersonate']);
    const map = obligations === null ? null : this.#member(obligations, 'impersonate', ['user', 'groups']);
    if (map === null) return null;
    const userNode = this.#need(map, 'user');
    const user = this.#text(userNode);
    const groups = this.#list(map.get('groups', true), (item) => {
      const group = this.#text(item);
      if (group.startsWith('system:')) this.#fault(item, 'a policy may not impersonate a system: group');
      return group;
    });
    if (user.startsWith('system:')) this.#fault(userNode ?? map, 'a policy may not impersonate a system: user');
    return { user, groups };
  }

  /** A mapping with known keys only. */
  #map(node: unknown, known: readonly string[], what: string): YAMLMap | null {
    if (!isMap(node)) {
      this.#fault(node, `${what} is a mapping of ${known.join(', ')}`);
      return null;
    }
    for (const { key } of node.items) {
      const name = isScalar(key) ? String(key.value) : '';
      if (!known.includes(name))
        this.#fault(key, `unknown field "${name}" in ${what}; known here: ${known.join(', ')}`);
    }
    return node;
  }

  #member(map: YAMLMap, key: string, known: readonly string[]): YAMLMap | null {
    const node = this.#need(map, key);
    return node === undefined ? null : this.#map(node, known, key);
  }

  #need(map: YAMLMap, key: string): Node | undefined {
    const node = map.get(key, true) as Node | undefined;
    if (node === undefined) this.#fault(map, `${key} is missing`);
    return node;
  }

  #constant(map: YAMLMap, key: string, value: string): void {
    const node = this.#need(map, key);
    if (node !== undefined && this.#text(node) !== value) this.#fault(node, `${key} must be ${value}`);
  }

  #text(node: unknown): string {
    if (isScalar(node) && typeof node.value === 'string' && node.value !== '') return node.value;
    // What is missing has been reported where it should stand.
    if (node !== undefined) this.#fault(node, 'a text is wanted here; put quotes around a number or a YAML word');
    return '';
  }

  #list<T>(node: unknown, read: (item: Node, index: number) => T): T[] {
    if (node === undefined) return [];
    if (isSeq(node) && node.items.length > 0) return node.items.map((item, index) => read(item as Node, index));
    this.#fault(node, 'a list with at least one entry is wanted here');
    return [];
  }

  #texts(node: unknown): string[] {
    return this.#list(node, (item) => this.#text(item));
  }

  /** A list of texts, each in the form that is meant; `message` says which that is. */
  #forms(node: unknown, fits: (text: string) => boolean, message: string): string[] {
    return this.#list(node, (item) => {
      const text = this.#text(item);
      if (text !== '' && !fits(text)) this.#fault(item, message);
      return text;
    });
  }

  /** A list of globs; left out, it matches everything. */
  #globs(map: YAMLMap, key: string): Matcher {
    return anyOf(map.has(key) ? this.#texts(map.get(key, true)) : ['*']);
  }

  #fault(node: unknown, message: string): void {
    this.#failed = true;
    const range = (node as { range?: readonly number[] | null } | undefined)?.range;
    this.#report(range?.[0] ?? 0, message);
  }
}

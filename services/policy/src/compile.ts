// Policies: from YAML texts to a set that can be evaluated, or to errors with line and column. Pure.
import { createHash } from 'node:crypto';
import type { ApprovalTerms, Effect, PolicyFault, PolicyFile } from '@sluice/model';
import { isScalar, LineCounter, type Node, parseAllDocuments, type YAMLMap } from 'yaml';
import { readApproval } from './approval-form.ts';
import { type Condition, checkCondition, FaultyCondition } from './condition.ts';
import type { ExecTerms } from './exec/terms.ts';
import { areStreams, readExec, readPorts, summaryOf } from './exec-form.ts';
import { readMask } from './mask-form.ts';
import { anyOf, type Matcher, resourceMatcher } from './match.ts';
import type { Policy, PolicyObligations, PolicySet, Rule, Subject } from './policy.ts';
import { FormReader } from './reader.ts';
import { RuleIndex } from './rule-index.ts';
import { defaultTerms } from './terms.ts';

export type Compiled =
  | { readonly kind: 'set'; readonly set: PolicySet }
  | { readonly kind: 'errors'; readonly errors: readonly PolicyFault[] };

/** Compiles policy texts. `issuers`: the configured ones; a subject may leave its issuer out while there is one. */
export function compile(files: readonly PolicyFile[], issuers: readonly string[]): Compiled {
  const errors: PolicyFault[] = [];
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
      const policy = new PolicyReader(new FormReader(file.text, report), issuers, names).policy(contents);
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
  return { kind: 'set', set: { version: hash.digest('hex').slice(0, 16), policies, index: new RuleIndex(policies) } };
}

/** What rules may name: a word that is not in here would never match, and a deny with it would deny nothing. */
const verbs = {
  resource: ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete', 'deletecollection', 'proxy', '*'],
  nonResource: ['get', 'head', 'post', 'put', 'patch', 'delete', '*'],
} as const;
const resourceForm = /^(\*|[a-z0-9-]+)(\.[a-z0-9][a-z0-9.-]*)?(\/(\*|[a-z0-9-]+))?$/;
const urlForm = /^(\*|\/[^*]*\*?)$/;

/** What a rule can do; the first is the safe one. */
const effects = ['deny', 'allow', 'ask'] as const satisfies readonly Effect[];

class PolicyReader {
  readonly #form: FormReader;
  readonly #issuers: readonly string[];
  /** Names of the policies read so far, by all readers. */
  readonly #names: Set<string>;

  constructor(form: FormReader, issuers: readonly string[], names: Set<string>) {
    this.#form = form;
    this.#issuers = issuers;
    this.#names = names;
  }

  policy(node: Node): Policy | null {
    const form = this.#form;
    const top = form.map(node, ['apiVersion', 'kind', 'metadata', 'spec'], 'a policy');
    if (top === null) return null;
    form.constant(top, 'apiVersion', 'sluice.internal/v1alpha1');
    form.constant(top, 'kind', 'AccessPolicy');
    const metadata = form.member(top, 'metadata', ['name']);
    const nameNode = metadata === null ? undefined : form.need(metadata, 'name');
    const name = form.text(nameNode);
    if (name !== '' && this.#names.has(name))
      form.fault(nameNode, `there is a second policy named "${name}"; give each its own metadata.name`);
    this.#names.add(name);
    const spec = form.member(top, 'spec', ['subjects', 'connections', 'otherwise', 'rules', 'obligations']);
    if (spec === null) return null;
    const subjects = form.list(form.need(spec, 'subjects'), (item) => this.#subject(item));
    const connections = this.#globs(spec, 'connections');
    const otherwise = form.word(spec, 'otherwise', ['deny', 'ask']);
    const rules = form.list(form.need(spec, 'rules'), (item, index) => this.#rule(item, index));
    const obligations = this.#obligations(spec);
    if (obligations === null && (otherwise === 'ask' || rules.some(({ effect }) => effect !== 'deny'))) {
      form.fault(
        spec,
        'a policy that allows or asks needs obligations.impersonate: { user, groups }, the identity its calls have in the cluster',
      );
    }
    return form.failed ? null : { name, subjects, connections, otherwise, rules, obligations };
  }

  #subject(node: Node): Subject {
    const form = this.#form;
    if (isScalar(node) && node.value === '*') return { kind: 'agent', name: '*', issuer: '' };
    const map = form.map(node, ['agent', 'group', 'issuer'], 'a subject');
    if (map === null) return { kind: 'agent', name: '', issuer: '' };
    const [agent, group, issuer] = ['agent', 'group', 'issuer'].map((key) => map.get(key, true));
    if ((agent === undefined) === (group === undefined))
      form.fault(map, 'a subject is either { agent: NAME } or { group: NAME }');
    if (issuer === undefined && this.#issuers.length !== 1)
      form.fault(map, 'several issuers are configured; say which: { group: NAME, issuer: URL }');
    if (issuer !== undefined && !this.#issuers.includes(form.text(issuer))) {
      form.fault(issuer, `no such issuer is configured; known: ${this.#issuers.join(', ')}`);
    }
    return {
      kind: agent === undefined ? 'group' : 'agent',
      name: form.text(agent ?? group),
      issuer: issuer === undefined ? '' : form.text(issuer),
    };
  }

  #rule(node: Node, index: number): Rule {
    const form = this.#form;
    const map = form.map(node, ruleFields, 'a rule');
    if (map === null) return nothing;
    const isNonResource = map.has('nonResourceURLs');
    form.need(map, 'effect');
    const known = verbs[isNonResource ? 'nonResource' : 'resource'];
    const verbsHere = form.forms(
      form.need(map, 'verbs'),
      (verb) => known.some((one) => one === verb),
      `no such verb; known here: ${known.join(', ')}`,
    );
    const effect = form.word(map, 'effect', effects);
    const base = {
      name: map.has('name') ? form.optionalText(map, 'name') : `rules[${index}]`,
      effect,
      verbs: verbsHere,
      reason: form.optionalText(map, 'reason'),
    };
    if (isNonResource === map.has('resources')) form.fault(map, 'a rule has either resources or nonResourceURLs');
    return isNonResource ? this.#nonResourceRule(map, base) : this.#resourceRule(map, base);
  }

  #terms(map: YAMLMap, effect: Effect, exec: ExecTerms | null): ApprovalTerms | null {
    const node = map.get('approval', true) as Node | undefined;
    if (effect === 'ask' || exec?.opaque === 'ask' || exec?.interactive === 'ask')
      return node === undefined ? defaultTerms : readApproval(this.#form, node);
    if (node !== undefined) this.#form.fault(node, 'approval has a meaning only in a rule that asks');
    return null;
  }

  #nonResourceRule(map: YAMLMap, base: RuleBase): Rule {
    const form = this.#form;
    for (const key of ['namespaces', 'names', 'mask', 'exec', 'ports']) {
      if (map.has(key)) form.fault(map.get(key, true) ?? map, `${key} has no meaning beside nonResourceURLs`);
    }
    const urls = form.forms(
      map.get('nonResourceURLs', true),
      (url) => urlForm.test(url),
      'a URL begins with /, and a * may stand only at its end',
    );
    const when = this.#when(map, { secrets: false, streams: false });
    const terms = this.#terms(map, base.effect, null);
    const summary = `${base.verbs.join(', ')} on ${urls.join(', ')}${conditionOf(when)}`;
    return { ...base, kind: 'nonResource', urls, when, terms, summary };
  }

  #resourceRule(map: YAMLMap, base: RuleBase): Rule {
    const form = this.#form;
    const resources = form.forms(
      map.get('resources', true),
      (resource) => resourceForm.test(resource),
      'a resource is written resource[.group][/subresource] in lower case; * stands for a whole resource or subresource',
    );
    const matchesResource = resourceMatcher(resources);
    const namespaces = form.texts(map.get('namespaces', true));
    const names = form.texts(map.get('names', true));
    const when = this.#when(map, {
      secrets: matchesResource.matches('', 'secrets', ''),
      streams: areStreams(resources),
    });
    const exec = readExec(form, map, base.effect, resources);
    const ports = readPorts(form, map, base.effect, resources);
    if (map.has('mask')) this.#unmasked(map, base, resources);
    const named = names.length === 0 ? '' : ` named ${names.join(', ')}`;
    const place = namespaces.length === 0 ? '' : ` in ${namespaces.join(', ')}`;
    return {
      ...base,
      kind: 'resource',
      resources,
      matchesResource,
      namespaces: anyOf(map.has('namespaces') ? namespaces : ['*']),
      names: anyOf(map.has('names') ? names : ['*']),
      isUnmasked: map.has('mask'),
      exec,
      ports,
      when,
      terms: this.#terms(map, base.effect, exec),
      summary: `${base.verbs.join(', ')} on ${resources.join(', ')}${named}${place}${summaryOf(exec, ports)}${conditionOf(when)}`,
    };
  }

  /** `mask: none` says of things that are named that their values may be seen: never of all there are or will be. */
  #unmasked(map: YAMLMap, { effect }: RuleBase, resources: readonly string[]): void {
    const form = this.#form;
    form.constant(map, 'mask', 'none');
    const node = map.get('mask', true);
    if (effect === 'deny') form.fault(node, 'mask has no meaning in a rule that denies');
    if (resources.some((resource) => resource.startsWith('*')))
      form.fault(node, 'mask: none is for resources that the rule names; with * it would show what nobody thought of');
  }

  #when(map: YAMLMap, about: { readonly secrets: boolean; readonly streams: boolean }): Condition | null {
    const text = this.#form.optionalText(map, 'when');
    if (text === '') return null;
    try {
      return checkCondition(text, about);
    } catch (error) {
      if (!(error instanceof FaultyCondition)) throw error;
      this.#form.fault(map.get('when', true), error.message, error.at);
      return null;
    }
  }

  #obligations(spec: YAMLMap): PolicyObligations | null {
    const form = this.#form;
    if (!spec.has('obligations')) return null;
    const map = form.member(spec, 'obligations', ['impersonate', 'record', 'deadline', 'mask']);
    const impersonate = map === null ? null : form.member(map, 'impersonate', ['user', 'groups']);
    if (map === null || impersonate === null) return null;
    const userNode = form.need(impersonate, 'user');
    const user = form.text(userNode);
    const groups = form.list(impersonate.get('groups', true), (item) => {
      const group = form.text(item);
      if (group.startsWith('system:')) form.fault(item, 'a policy may not impersonate a system: group');
      return group;
    });
    if (user.startsWith('system:')) form.fault(userNode ?? impersonate, 'a policy may not impersonate a system: user');
    if (map.has('record')) form.constant(map, 'record', 'full');
    const deadlineMs = form.duration(
      map,
      'deadline',
      deadlines,
      'a deadline is how long a call may run: 30s, 10m or 2h, at most 24h',
    );
    return {
      impersonate: { user, groups },
      isRecordFull: map.has('record'),
      deadlineMs,
      masks: form.list(map.get('mask', true), (item) => readMask(form, item)),
    };
  }

  /** A list of globs; left out, it matches everything. */
  #globs(map: YAMLMap, key: string): Matcher {
    return anyOf(map.has(key) ? this.#form.texts(map.get(key, true)) : ['*']);
  }
}

const ruleFields = [
  'name',
  'effect',
  'verbs',
  'resources',
  'namespaces',
  'names',
  'nonResourceURLs',
  'when',
  'reason',
  'approval',
  'mask',
  'exec',
  'ports',
];

type RuleBase = Pick<Rule, 'name' | 'effect' | 'verbs' | 'reason'>;

const deadlines = { shortestMs: 1_000, longestMs: 24 * 3_600_000 } as const;

/** In place of a rule that cannot be read. */
const nothing: Rule = {
  kind: 'nonResource',
  name: '',
  effect: 'deny',
  verbs: [],
  urls: [],
  when: null,
  reason: '',
  terms: null,
  summary: '',
};

function conditionOf(when: Condition | null): string {
  return when === null ? '' : ` when ${when.text}`;
}

// Finds the few rules that can matter for a call among all there are: by who calls, verb, resource and namespace.
import { type Agent, type RequestAttributes, type ResourceAttributes, resourceName } from '@sluice/model';
import type { Policy, Rule, Subject } from './policy.ts';

/** A rule with the policy it stands in. */
export interface Entry {
  readonly policy: Policy;
  readonly rule: Rule;
  /** Position among all rules of all policies, which are sorted by name: the first of several decides. */
  readonly order: number;
}

/** What one subject's policies hold. */
interface Shelf {
  readonly policies: Policy[];
  /** By verb, resource and namespace. */
  readonly resources: Map<string, Entry[]>;
  /** By verb and URL. */
  readonly urls: Map<string, Entry[]>;
  /** Lengths of the URL globs, so that only they are looked up. */
  readonly globLengths: Set<number>;
}

/** What is there for one agent. */
interface Holdings {
  readonly shelves: readonly Shelf[];
  /** Sorted by name. */
  readonly policies: readonly Policy[];
}

/** Of so many agents it is known what there is for them. */
const maxAgents = 1_000;

export class RuleIndex {
  readonly #shelves = new Map<string, Shelf>();
  /** By agent, for those who called. */
  readonly #holdings = new Map<string, Holdings>();

  /** `policies`: sorted by name. */
  constructor(policies: readonly Policy[]) {
    let order = 0;
    for (const policy of policies) {
      const shelves = policy.subjects.map((subject) => this.#shelf(subjectKey(subject)));
      for (const shelf of new Set(shelves)) shelf.policies.push(policy);
      for (const rule of policy.rules) {
        const entry = { policy, rule, order: order++ };
        for (const shelf of new Set(shelves)) add(shelf, entry);
      }
    }
  }

  /** The policies for this agent, sorted by name. */
  policiesFor(agent: Agent): readonly Policy[] {
    return this.#holdingsOf(agent).policies;
  }

  /** The rules that are examined for a call, in order. They may still turn out not to match it. */
  rulesFor(agent: Agent, attributes: RequestAttributes): readonly Entry[] {
    const found: Entry[] = [];
    for (const shelf of this.#holdingsOf(agent).shelves) {
      if (attributes.kind === 'resource') {
        for (const key of resourceKeys(attributes)) found.push(...(shelf.resources.get(key) ?? []));
      } else {
        for (const key of urlKeys(attributes.verb, attributes.path, shelf.globLengths))
          found.push(...(shelf.urls.get(key) ?? []));
      }
    }
    if (found.length < 2) return found;
    return [...new Set(found)].sort((a, b) => a.order - b.order);
  }

  #shelf(key: string): Shelf {
    let shelf = this.#shelves.get(key);
    if (shelf === undefined) {
      shelf = { policies: [], resources: new Map(), urls: new Map(), globLengths: new Set() };
      this.#shelves.set(key, shelf);
    }
    return shelf;
  }

  #holdingsOf(agent: Agent): Holdings {
    const { name, issuer, groups } = agent;
    const key = JSON.stringify([issuer, name, groups]);
    let holdings = this.#holdings.get(key);
    if (holdings === undefined) {
      const shelves = this.#shelvesOf(agent);
      const policies = [...new Set(shelves.flatMap((shelf) => shelf.policies))];
      holdings = { shelves, policies: policies.sort((a, b) => (a.name < b.name ? -1 : 1)) };
      if (this.#holdings.size >= maxAgents) this.#holdings.clear();
      this.#holdings.set(key, holdings);
    }
    return holdings;
  }

  /** An agent stands in few groups, and most of them in no policy. */
  #shelvesOf({ name, issuer, groups }: Agent): Shelf[] {
    const subjects: Subject[] = [
      { kind: 'agent', name: '*', issuer: '' },
      { kind: 'agent', name, issuer: '' },
      ...groups.map((group) => ({ kind: 'group', name: group, issuer: '' }) as const),
    ];
    return subjects.flatMap((subject) =>
      ['', issuer].flatMap((from) => this.#shelves.get(subjectKey({ ...subject, issuer: from })) ?? []),
    );
  }
}

/** Anyone known is one subject, as an agent and as a group. */
function subjectKey({ kind, name, issuer }: Subject): string {
  return JSON.stringify([name === '*' ? 'agent' : kind, name, issuer]);
}

function add({ resources, urls, globLengths }: Shelf, entry: Entry): void {
  const { rule } = entry;
  const put = (map: Map<string, Entry[]>, key: string): void => {
    const there = map.get(key);
    if (there === undefined) map.set(key, [entry]);
    else there.push(entry);
  };
  for (const verb of rule.verbs) {
    if (rule.kind === 'nonResource') {
      for (const url of rule.urls) {
        put(urls, `${verb} ${url}`);
        if (url.endsWith('*')) globLengths.add(url.length - 1);
      }
    } else {
      for (const resource of rule.resources) {
        for (const namespace of rule.namespaces.exact ?? ['*']) put(resources, `${verb} ${resource} ${namespace}`);
      }
    }
  }
}

/** Every way in which a rule can write the resource and still match it. */
function resourceKeys(attributes: ResourceAttributes): string[] {
  const { apiGroup, subresource, verb, namespace } = attributes;
  const full = resourceName({ ...attributes, subresource: '' });
  // The core group has no name, so there is no way to write all of it.
  const bases = apiGroup === '' ? [full, '*'] : [full, `*.${apiGroup}`, '*'];
  const names = subresource === '' ? bases : bases.flatMap((base) => [`${base}/${subresource}`, `${base}/*`]);
  return names.flatMap((name) =>
    [verb, '*'].flatMap((oneVerb) => {
      const everywhere = `${oneVerb} ${name} *`;
      return namespace === '' ? [everywhere] : [everywhere, `${oneVerb} ${name} ${namespace}`];
    }),
  );
}

function urlKeys(verb: string, path: string, globLengths: ReadonlySet<number>): string[] {
  const globs = [...globLengths].filter((length) => length <= path.length).map((length) => `${path.slice(0, length)}*`);
  return [path, ...globs].flatMap((url) => [`${verb} ${url}`, `* ${url}`]);
}

/** A list of globs, compiled. `*` is the only special character. */
export interface Matcher {
  matches(text: string): boolean;
  /** Whether one of the globs is `*` alone. */
  readonly everything: boolean;
  /** All it matches, where no glob has a `*`; `null` otherwise. */
  readonly exact: readonly string[] | null;
}

export function anyOf(globs: readonly string[]): Matcher {
  if (globs.includes('*')) return { everything: true, exact: null, matches: () => true };
  const exact = new Set(globs.filter((glob) => !glob.includes('*')));
  const patterns = globs.filter((glob) => glob.includes('*')).map((glob) => glob.split('*'));
  return {
    everything: false,
    exact: patterns.length === 0 ? [...exact] : null,
    matches: (text) => exact.has(text) || patterns.some((parts) => inOrder(parts, text)),
  };
}

/**
 * Whether the text begins with the first part, ends with the last, and has the others between them in order. Agents
 * choose the text: a regular expression would backtrack for seconds on a glob with three stars.
 */
function inOrder(parts: readonly string[], text: string): boolean {
  const [first = '', last = ''] = [parts[0], parts.at(-1)];
  const end = text.length - last.length;
  let at = first.length;
  if (at > end || !text.startsWith(first) || !text.endsWith(last)) return false;
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return at <= end;
}

/** `resource[.group][/subresource]`, as policies write it. */
export interface ResourceMatcher {
  matches(apiGroup: string, resource: string, subresource: string): boolean;
}

/**
 * `*` is every resource of every group, never a subresource; `*.apps` every resource of a group; `pods/*` every
 * subresource of pods; `*` before a slash stands for every resource of every group.
 */
export function resourceMatcher(entries: readonly string[]): ResourceMatcher {
  const parsed = entries.map((entry) => {
    const slash = entry.indexOf('/');
    const subresource = slash === -1 ? '' : entry.slice(slash + 1);
    const full = slash === -1 ? entry : entry.slice(0, slash);
    const dot = full.indexOf('.');
    return {
      resource: dot === -1 ? full : full.slice(0, dot),
      // Without a group the core group is meant, but `*` alone means all of them.
      group: dot === -1 ? (full === '*' ? '*' : '') : full.slice(dot + 1),
      subresource,
    };
  });
  const fits = (pattern: string, text: string): boolean => pattern === '*' || pattern === text;
  return {
    matches: (apiGroup, resource, subresource) =>
      parsed.some(
        (entry) =>
          fits(entry.group, apiGroup) &&
          fits(entry.resource, resource) &&
          (entry.subresource === '*' ? subresource !== '' : entry.subresource === subresource),
      ),
  };
}

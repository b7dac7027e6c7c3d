/** Matches names against globs, in which only `*` stands for anything. Time is bounded by the lengths multiplied. */
export function globMatcher(globs: readonly string[], { ignoreCase = false } = {}): (name: string) => boolean {
  const fold = (text: string): string => (ignoreCase ? text.toLowerCase() : text);
  const exact = new Set(globs.filter((glob) => !glob.includes('*')).map(fold));
  const parted = globs.filter((glob) => glob.includes('*')).map((glob) => fold(glob).split('*'));
  if (parted.some((parts) => parts.every((part) => part === ''))) return () => true;
  return (name) => {
    const text = fold(name);
    return exact.has(text) || parted.some((parts) => fits(text, parts));
  };
}

/** The first part stands at the beginning, the last at the end, the others in between as early as can be. */
function fits(text: string, parts: readonly string[]): boolean {
  const [first = '', ...others] = parts;
  const last = others.pop() ?? '';
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  let at = first.length;
  const end = text.length - last.length;
  return others.every((part) => {
    const found = text.indexOf(part, at);
    at = found + part.length;
    return found !== -1 && at <= end;
  });
}

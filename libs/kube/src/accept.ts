/** Media types an agent may name whose content Sluice can serve as JSON instead. */
const convertible: ReadonlySet<string> = new Set([
  'application/json',
  'application/vnd.kubernetes.protobuf',
  'application/yaml',
  'application/cbor',
  'application/*',
  '*/*',
]);

/** Parameters that choose what is served (Table, PartialObjectMetadata, …), not how it is encoded. */
const shapes: ReadonlySet<string> = new Set(['as', 'g', 'v']);

/**
 * The `Accept` that goes to the cluster for a resource: every clause as JSON, its shape kept, in the
 * agent's order of quality. client-go decodes by the response's Content-Type, so an agent that asked for
 * protobuf reads the JSON. `null` when nothing that is left can be JSON (406).
 */
export function jsonAccept(accept: string | undefined): string | null {
  if (accept === undefined || accept.trim() === '') return 'application/json';
  const clauses = accept
    .split(',')
    .map(parseClause)
    .filter((clause) => clause.quality > 0 && convertible.has(clause.type));
  if (clauses.length === 0) return null;
  clauses.sort((a, b) => b.quality - a.quality);
  return [...new Set(clauses.map((clause) => ['application/json', ...clause.shape].join(';')))].join(',');
}

function parseClause(clause: string): { type: string; shape: string[]; quality: number } {
  const [type = '', ...parameters] = clause.split(';').map((part) => part.trim());
  let quality = 1;
  const shape: string[] = [];
  for (const parameter of parameters) {
    const [name = '', value = ''] = parameter.split('=', 2).map((part) => part.trim());
    if (name.toLowerCase() === 'q') quality = Number(value);
    else if (shapes.has(name) && /^[\w.-]+$/.test(value)) shape.push(`${name}=${value}`);
  }
  return { type: type.toLowerCase(), shape, quality: Number.isFinite(quality) ? quality : 0 };
}

// Asks a real API server what it reads in each snippet of libs/kube/src/yaml-vectors.json, and writes its answers there:
//
//   node tools/yaml-vectors.ts --kubeconfig PATH
//
// To add a vector, write its YAML into the file, run this, then `npm run format`. A custom resource that keeps any field
// is made and taken away again; nothing else is stored.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

/** `json`: the server's own text of the fields in the snippet. `refused`: it answers 400. */
type Vector = { readonly yaml: string } & ({ readonly json: string } | { readonly refused: true } | object);

const vectorFile = join(import.meta.dirname, '..', 'libs/kube/src/yaml-vectors.json');
const { values: options } = parseArgs({ options: { kubeconfig: { type: 'string' } } });
const group = 'vectors.sluice.internal';
const definition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `values.${group}` },
  spec: {
    group,
    scope: 'Namespaced',
    names: { plural: 'values', singular: 'value', kind: 'Value' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
};

function kubectl(args: readonly string[], input = ''): string {
  return execFileSync('kubectl', ['--kubeconfig', options.kubeconfig ?? '', ...args], { encoding: 'utf8', input });
}

/** A proposal of TC39 that Node has, and TypeScript does not know. */
const { rawJSON: rawJson } = JSON as unknown as { readonly rawJSON: (this: void, text: string) => unknown };

async function startProxy(): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  const child = spawn('kubectl', ['--kubeconfig', options.kubeconfig ?? '', 'proxy', '--port=0']);
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, url: `http://127.0.0.1:${/:(\d+)\s*$/.exec(said.toString())?.[1]}` };
}

async function ask(url: string, yaml: string): Promise<Vector> {
  const head = `apiVersion: ${group}/v1\nkind: Value\nmetadata: { name: v }\n`;
  const answer = await fetch(`${url}/apis/${group}/v1/namespaces/default/values?dryRun=All`, {
    method: 'POST',
    headers: { 'content-type': 'application/yaml', accept: 'application/json' },
    body: head + yaml,
  });
  const text = await answer.text();
  if (answer.status === 400 || answer.status === 500) return { yaml, refused: true };
  if (answer.status !== 201) throw new Error(`${answer.status} for ${yaml}: ${text}`);
  // Numbers as they stand in the server's text.
  const fields = JSON.parse(text, (_key, value: unknown, { source = '' }: { source?: string } = {}) =>
    typeof value === 'number' ? rawJson(source) : value,
  ) as Record<string, unknown>;
  for (const name of ['apiVersion', 'kind', 'metadata']) delete fields[name];
  return { yaml, json: JSON.stringify(fields) };
}

if (options.kubeconfig === undefined) throw new Error('give --kubeconfig');
kubectl(['apply', '-f', '-'], JSON.stringify(definition));
kubectl(['wait', '--for=condition=established', `crd/values.${group}`]);
const { child, url } = await startProxy();
try {
  const file = JSON.parse(readFileSync(vectorFile, 'utf8')) as { server: string; vectors: Vector[] };
  file.server = ((await (await fetch(`${url}/version`)).json()) as { gitVersion: string }).gitVersion;
  for (const [i, { yaml }] of file.vectors.entries()) file.vectors[i] = await ask(url, yaml);
  writeFileSync(vectorFile, `${JSON.stringify(file, null, 2)}\n`);
} finally {
  child.kill();
  kubectl(['delete', 'crd', `values.${group}`, '--wait=false']);
}

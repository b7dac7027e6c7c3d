// The architecture as a check: who may import whom, who owns which library, who may see the environment.
import { existsSync, globSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';

/** What a layer may import of Sluice. Everything may import itself. */
const layers: Readonly<Record<string, readonly string[]>> = {
  'libs/model': [],
  'libs/kube': ['libs/model'],
  'libs/runtime': ['libs/model'],
  'libs/demo-cluster': ['libs/model'],
  'services/ingress': ['libs/model', 'libs/kube', 'libs/runtime'],
  'services/policy': ['libs/model', 'libs/kube', 'libs/runtime'],
  'services/masking': ['libs/model', 'libs/kube', 'libs/runtime'],
  'services/recorder': ['libs/model', 'libs/kube', 'libs/runtime'],
  // `sluice up` is the local supervisor, so the CLI may use the runtime.
  cli: ['libs/model', 'libs/runtime'],
};

/** Layers that may import anything, and that nothing imports. */
const testLayers = ['e2e', 'bench', 'libs/testing', 'tools'];

/** One owner per vendor library: a folder, or one file. */
const owners: Readonly<Record<string, string>> = {
  'http2-proxy': 'services/ingress',
  '@nats-io/': 'libs/runtime',
  '@clickhouse/client': 'services/recorder',
  chdb: 'services/recorder',
  jose: 'libs/runtime/src/identity.ts',
  '@kubernetes/client-node': 'libs/runtime/src/cluster.ts',
  '@peculiar/x509': 'libs/runtime/src/certificates.ts',
  commander: 'cli/src/main.ts',
};

/** Only these may make and read raw bytes. */
const rawReaders = ['services/ingress', 'services/masking'];

/** Pure files: no I/O, no clock of their own. */
const pure = [
  'libs/kube/src/',
  'services/policy/src/compile.ts',
  'services/policy/src/evaluate.ts',
  'services/policy/src/match.ts',
  'services/masking/src/mask.ts',
  'services/recorder/src/seen.ts',
];
const pureBuiltins = ['node:crypto', 'node:buffer'];

/** Only entry files, where a process starts, see the environment. */
const entryFile = /(^|\/)(main|offline)\.ts$/;

/** Every violation in a tree, as `file:line: message`. Exported for its test. */
export function violations(root: string): string[] {
  const files = globSync('{libs,services}/*/src/**/*.ts', { cwd: root })
    .concat(globSync(['cli/src/**/*.ts', 'e2e/**/*.ts', 'bench/**/*.ts', 'tools/*.ts'], { cwd: root }))
    .filter((file) => !file.includes('node_modules'))
    .sort();
  return files.flatMap((file) => {
    const source = readFileSync(join(root, file), 'utf8');
    const code = withoutComments(source);
    const found = importsOf(code).flatMap(({ line, name }) =>
      judgeImport(root, file, name).map((message) => `${file}:${line}: ${message}`),
    );
    return [...found, ...judgeFile(file, source, code)];
  });
}

function judgeImport(root: string, file: string, name: string): string[] {
  const from = workspaceOf(file);
  const isTest = testLayers.includes(from) || file.endsWith('.test.ts');
  const to = name.startsWith('.')
    ? workspaceOf(relative(root, resolve(root, dirname(file), name)))
    : workspaceNamed(name);
  const found: string[] = [];
  if (to !== undefined && to !== from) {
    if (name.startsWith('.')) found.push(`reaches into ${to}; import its package`);
    if (testLayers.includes(to) && !isTest) found.push(`${to} is for tests; nothing may depend on it`);
    if (!isTest && !testLayers.includes(to) && !(layers[from] ?? []).includes(to))
      found.push(`${from} may not import ${to}`);
  }
  if (name === '@sluice/runtime/raw' && !rawReaders.includes(from) && !isTest)
    found.push(`${from} may not see raw bytes`);
  if (name.startsWith('node:')) {
    if (isPure(file) && !pureBuiltins.includes(name)) found.push(`a pure file may not import ${name}`);
    if (from === 'libs/model' && !isTest && name !== 'node:crypto') found.push(`libs/model may not import ${name}`);
  } else if (builtinModules.includes(name)) {
    found.push(`write node:${name}`);
  } else if (!name.startsWith('.')) {
    const owner = Object.entries(owners).find(
      ([vendor]) => name === vendor || name.startsWith(vendor.replace(/([^/])$/, '$1/')),
    );
    if (owner !== undefined && !isTest && !file.startsWith(owner[1])) found.push(`${owner[0]} belongs to ${owner[1]}`);
    if (!declared(root, file, name)) found.push(`${packageOf(name)} is not in the package.json of ${from}`);
  }
  return found;
}

function judgeFile(file: string, source: string, code: string): string[] {
  const isTest = testLayers.includes(workspaceOf(file)) || file.endsWith('.test.ts');
  const found: string[] = [];
  if (!isTest && !entryFile.test(file) && /\bprocess\.env\b/.test(code)) {
    found.push(`${file}:1: only an entry file may read process.env`);
  }
  if (/\/src\/(index|main)\.ts$/.test(file) && !source.startsWith('//')) {
    found.push(`${file}:1: an entry file begins with a comment that says what its package is`);
  }
  return found;
}

function isPure(file: string): boolean {
  return !file.endsWith('.test.ts') && pure.some((prefix) => file.startsWith(prefix));
}

function workspaceOf(file: string): string {
  const [first = '', second = ''] = file.split('/');
  return first === 'libs' || first === 'services' ? `${first}/${second}` : first;
}

function workspaceNamed(name: string): string | undefined {
  const own = /^@sluice\/([^/]+)/.exec(name)?.[1];
  if (own === undefined) return undefined;
  return [...Object.keys(layers), ...testLayers].find((layer) => layer === own || layer.endsWith(`/${own}`)) ?? own;
}

function packageOf(name: string): string {
  return name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/');
}

/** Tests and tools may use what the root declares. */
function declared(root: string, file: string, name: string): boolean {
  const dirs = [
    workspaceOf(file),
    ...(testLayers.includes(workspaceOf(file)) || file.endsWith('.test.ts') ? ['.'] : []),
  ];
  return dirs.some((dir) => {
    const manifest = join(root, dir, 'package.json');
    if (!existsSync(manifest)) return false;
    const { dependencies = {}, devDependencies = {} } = JSON.parse(readFileSync(manifest, 'utf8')) as Record<
      string,
      Record<string, string>
    >;
    return packageOf(name) in dependencies || packageOf(name) in devDependencies;
  });
}

/** Keeps line numbers. */
function withoutComments(source: string): string {
  return source
    .replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, ' '))
    .replaceAll(/(^|[\s;{}(,])\/\/.*$/gm, '$1');
}

function importsOf(code: string): { line: number; name: string }[] {
  const pattern = /(?:\bfrom\s*|\bimport\s*\(?\s*)['"]([^'"\n]+)['"]/g;
  return [...code.matchAll(pattern)].map((match) => ({
    line: code.slice(0, match.index).split('\n').length,
    name: match[1],
  }));
}

if (process.argv[1] === import.meta.filename) {
  const found = violations(resolve(import.meta.dirname, '..'));
  for (const violation of found) process.stderr.write(`${violation}\n`);
  process.stdout.write(found.length === 0 ? 'boundaries hold\n' : `${found.length} violations\n`);
  process.exitCode = found.length === 0 ? 0 : 1;
}

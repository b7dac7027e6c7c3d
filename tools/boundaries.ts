// The architecture as a check: who may import whom, who owns which library, who may see the environment.
import { existsSync, globSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, matchesGlob, normalize, resolve } from 'node:path';
import { readSources, type Source } from './sources.ts';

/** What of Sluice a folder may import beside itself. A folder that is not here has no place in the architecture yet. */
const mayImport: Readonly<Record<string, readonly string[] | 'anything'>> = {
  'libs/model': [],
  'libs/kube': ['libs/model'],
  'libs/runtime': ['libs/model'],
  'libs/demo-cluster': ['libs/model', 'libs/kube'],
  'services/ingress': ['libs/model', 'libs/kube', 'libs/runtime'],
  'services/policy': ['libs/model', 'libs/kube', 'libs/runtime'],
  'services/approval': ['libs/model', 'libs/kube', 'libs/runtime'],
  'services/masking': ['libs/model', 'libs/kube', 'libs/runtime'],
  'services/recorder': ['libs/model', 'libs/kube', 'libs/runtime'],
  // `sluice up` is the local supervisor, so the CLI may use the runtime.
  cli: ['libs/model', 'libs/runtime'],
  // What is made from code, and the checks, read the code's own registries.
  tools: ['libs/model'],
  'libs/testing': 'anything',
  e2e: 'anything',
  bench: 'anything',
};

/** The one owner of each vendor library: the files that may import it. Folders that may import anything may do so too. */
const owners: Readonly<Record<string, string>> = {
  'http2-proxy': 'services/ingress/**',
  '@nats-io/': 'libs/runtime/**',
  bullmq: 'services/approval/**',
  ioredis: 'services/approval/**',
  '@clickhouse/client': 'services/recorder/**',
  chdb: 'services/recorder/**',
  '@marcbachmann/cel-js': 'services/policy/**',
  jose: 'libs/runtime/src/identity{,.test}.ts',
  '@kubernetes/client-node': 'libs/runtime/src/cluster{,.test}.ts',
  '@peculiar/x509': 'libs/runtime/src/certificates{,.test}.ts',
  ws: '{services/ingress,libs/demo-cluster}/**',
  pako: 'libs/kube/**',
  unbash: 'services/policy/**',
  re2js: 'libs/runtime/src/mask-pattern{,.test}.ts',
  commander: 'cli/src/main.ts',
};

/** Makes and reads raw bytes. */
const rawModule = 'libs/runtime/src/raw.ts';
const rawReaders = ['services/ingress/**', 'services/masking/**', 'libs/runtime/src/raw.test.ts'];

/** Pure files take what they need as arguments: of Node they import nothing but this. */
const pure = [
  'libs/model/src/**',
  'libs/kube/src/**',
  'services/policy/src/{compile,evaluate,match,policy,reader,rule-index}*.ts',
  'services/policy/src/condition{,.test}.ts',
  'services/masking/src/{anchors,byte-class,detect,fingerprint,finding,inner-values,known-set,mask,patterns,replacements,secret-bytes,assigned,splice,surroundings,text,value-forms,wrapped}*.ts',
  'libs/runtime/src/held-frames.ts',
  'services/ingress/src/budget.ts',
  'services/approval/src/{callers,cards,fold,leases}*.ts',
  'services/recorder/src/sql-{guard,tokens,words}*.ts',
  'services/recorder/src/{ledgers,tab-separated}.ts',
  'cli/src/verify/{claims,faults,gaps,judge,ledger,record,row,second-home,words}.ts',
];
const pureBuiltins = ['node:crypto', 'node:buffer'];

/** Where a process starts: only there is the environment read. */
const seesEnvironment = [
  '**/main.ts',
  '**/offline.ts',
  'tools/**',
  'e2e/**',
  'bench/**',
  'libs/testing/**',
  '**/*.test.ts',
];

/** Every violation under `root`, as `file:line: message`, with the number of files that were read. */
export function checkBoundaries(root: string): { readonly files: number; readonly violations: readonly string[] } {
  const packages = new Packages(root);
  const sources = readSources(root);
  return { files: sources.length, violations: sources.flatMap((source) => judge(source, packages)) };
}

function judge(source: Source, packages: Packages): string[] {
  const { file, text, imports, environment } = source;
  const at = (line: number) => (message: string) => `${file}:${line}: ${message}`;
  if (mayImport[folderOf(file)] === undefined) return [at(1)(`${folderOf(file)} has no layer in tools/boundaries.ts`)];
  if (imports === undefined) return [at(1)('tsconfig.json does not include this file, so nothing checks it')];
  const found = imports.flatMap(({ name, line }) => judgeImport(file, name, packages).map(at(line)));
  if (!matchesAny(file, seesEnvironment)) {
    found.push(...environment.map((line) => at(line)('only where a process starts may it read process.env')));
  }
  if (packages.entries.has(file) && !/^\/[/*]/.test(text)) {
    found.push(at(1)('begin with a comment that says what this package is and what it must not do'));
  }
  return found;
}

function judgeImport(file: string, name: string | undefined, packages: Packages): string[] {
  if (name === undefined) return ['an import with a computed name cannot be checked'];
  if (name.startsWith('node:')) return judgeBuiltin(file, name);
  if (builtinModules.includes(name)) return [`write node:${name}`];
  const target = packages.resolve(file, name);
  const undeclared =
    name.startsWith('.') || packages.declares(file, name)
      ? []
      : [`${packageOf(name)} is not in the package.json of ${folderOf(file)}`];
  return [...undeclared, ...(target === undefined ? judgeVendor(file, name) : judgeOwn(file, name, target))];
}

function judgeBuiltin(file: string, name: string): string[] {
  if (name === 'node:process' && !matchesAny(file, seesEnvironment)) return ['use the global process'];
  if (isTest(file) || !matchesAny(file, pure) || pureBuiltins.includes(name)) return [];
  return [`a pure file may not import ${name}`];
}

function judgeVendor(file: string, name: string): string[] {
  const owned = Object.entries(owners).find(([library]) => isWithin(name, library));
  if (owned === undefined || matchesGlob(file, owned[1]) || mayImport[folderOf(file)] === 'anything') return [];
  return [`${owned[0]} belongs to ${owned[1]}`];
}

/** An import of Sluice itself; `target` is the file it reaches. */
function judgeOwn(file: string, name: string, target: string): string[] {
  const [from, to] = [folderOf(file), folderOf(target)];
  const may = mayImport[from] ?? [];
  if (may === 'anything') return [];
  const found: string[] = [];
  if (target === rawModule && !matchesAny(file, rawReaders)) found.push('only ingress and masking may see raw bytes');
  if (from === to) return found;
  // Unit tests may use what is there for tests.
  if (!may.includes(to) && !(isTest(file) && to === 'libs/testing')) found.push(`${from} may not import ${to}`);
  // The tools belong to no package, and so have no other way.
  if (name.startsWith('.') && from !== 'tools') found.push(`reaches into ${to}; import its package`);
  return found;
}

/** The packages of the workspace, as their manifests have them. */
class Packages {
  readonly #folders = new Map<string, string>();
  readonly #manifests = new Map<string, Manifest>();
  /** The files by which packages are entered. */
  readonly entries = new Set<string>();

  constructor(root: string) {
    for (const file of globSync(['package.json', '{libs,services}/*/package.json', '{cli,e2e,bench}/package.json'], {
      cwd: root,
    })) {
      const folder = dirname(file);
      const manifest = JSON.parse(readFileSync(join(root, file), 'utf8')) as Manifest;
      this.#manifests.set(folder, manifest);
      this.#folders.set(manifest.name, folder);
      for (const exported of Object.values(manifest.exports ?? {})) this.entries.add(join(folder, exported));
      if (existsSync(join(root, folder, 'src/main.ts'))) this.entries.add(join(folder, 'src/main.ts'));
    }
  }

  /** The file of Sluice that an import reaches; undefined if it is another's package. */
  resolve(file: string, name: string): string | undefined {
    if (name.startsWith('.')) return normalize(join(dirname(file), name));
    const folder = this.#folders.get(packageOf(name));
    if (folder === undefined) return undefined;
    const exported = this.#manifests.get(folder)?.exports?.[`.${name.slice(packageOf(name).length)}`];
    return join(folder, exported ?? 'package.json');
  }

  /** Whether the manifest of the file's package names the import's; tests and tools may use what the root names. */
  declares(file: string, name: string): boolean {
    const own = this.#manifests.has(folderOf(file)) ? [folderOf(file)] : [];
    const folders = isTest(file) || own.length === 0 ? [...own, '.'] : own;
    return folders.some((folder) => {
      const { dependencies = {}, devDependencies = {} } = this.#manifests.get(folder) ?? {};
      return Object.hasOwn({ ...dependencies, ...devDependencies }, packageOf(name));
    });
  }
}

interface Manifest {
  readonly name: string;
  readonly exports?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

function folderOf(file: string): string {
  const [first = '', second = ''] = file.split('/');
  return first === 'libs' || first === 'services' ? `${first}/${second}` : first;
}

function packageOf(name: string): string {
  return name.split('/', name.startsWith('@') ? 2 : 1).join('/');
}

/** `library` is a package, or a scope with its slash. */
function isWithin(name: string, library: string): boolean {
  return name === library || name.startsWith(library.endsWith('/') ? library : `${library}/`);
}

function isTest(file: string): boolean {
  return /\.(test|fuzz)\.ts$/.test(file);
}

function matchesAny(file: string, globs: readonly string[]): boolean {
  return globs.some((glob) => matchesGlob(file, glob));
}

if (import.meta.main) {
  const { files, violations } = checkBoundaries(resolve(import.meta.dirname, '..'));
  for (const violation of violations) console.error(violation);
  if (violations.length > 0) process.exitCode = 1;
  else console.log(`${files} files keep to the architecture`);
}

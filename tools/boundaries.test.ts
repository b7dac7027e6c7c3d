import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { checkBoundaries } from './boundaries.ts';

const manifest = (name: string, exported: string, ...dependencies: string[]): string =>
  JSON.stringify({
    name: `@sluice/${name}`,
    exports: { [exported === 'index' ? '.' : `./${exported}`]: `./src/${exported}.ts` },
    dependencies: Object.fromEntries(dependencies.map((dependency) => [dependency, '*'])),
  });

/** A small workspace that keeps every rule. */
const clean = {
  'package.json': JSON.stringify({ name: 'sluice', devDependencies: { 'fast-check': '*' } }),
  'tsconfig.json': JSON.stringify({
    compilerOptions: { module: 'nodenext', noEmit: true, allowImportingTsExtensions: true, types: [] },
    include: ['libs/*/src', 'services/*/src', 'e2e'],
  }),
  'libs/model/package.json': manifest('model', 'index'),
  'libs/model/src/index.ts': "// The words.\nimport 'node:crypto';\nexport const model = 1;\n",
  'libs/runtime/package.json': JSON.stringify({
    name: '@sluice/runtime',
    exports: { '.': './src/index.ts', './raw': './src/raw.ts' },
    dependencies: { '@sluice/model': '*', jose: '*' },
  }),
  'libs/runtime/src/index.ts': "// What processes stand on.\nexport * from '@sluice/model';\n",
  'libs/runtime/src/identity.ts': "import 'jose';\n",
  'libs/runtime/src/raw.ts': '// Raw bytes.\nexport type Raw = 1;\n',
  'libs/testing/package.json': manifest('testing', 'index', '@sluice/ingress'),
  'libs/testing/src/index.ts': "// For tests.\nimport '@sluice/ingress/main';\n",
  'services/ingress/package.json': manifest('ingress', 'main', '@sluice/runtime', 'http2-proxy'),
  'services/ingress/src/main.ts':
    "// Where agents connect.\nimport '@sluice/runtime/raw';\nimport 'http2-proxy';\nprocess.env;\n",
  'services/policy/package.json': manifest(
    'policy',
    'main',
    '@sluice/ingress',
    '@sluice/runtime',
    '@sluice/testing',
    'http2-proxy',
    'jose',
  ),
  'services/policy/src/main.ts':
    "// The policy worker.\nimport '@sluice/runtime';\nprocess.on('exit', () => undefined);\n",
  'services/policy/src/evaluate.ts': "import type { Source } from './load.ts';\n",
  'services/policy/src/load.ts':
    "import 'node:fs';\n// import '@sluice/ingress/main'\nexport const text = \"import '@sluice/ingress/main'\";\nexport type Source = string;\n",
  'services/policy/src/load.test.ts': "import 'fast-check';\nimport '@sluice/testing';\nprocess.env;\n",
  'e2e/all.test.ts': "import '../services/policy/src/load.ts';\nprocess.env;\n",
};

/** Violations in the clean workspace with some files put there or in place of others. */
function violations(planted: Readonly<Record<string, string>>): readonly string[] {
  const root = mkdtempSync(join(tmpdir(), 'sluice-boundaries-'));
  try {
    for (const [file, text] of Object.entries({ ...clean, ...planted })) {
      mkdirSync(join(root, dirname(file)), { recursive: true });
      writeFileSync(join(root, file), text);
    }
    return checkBoundaries(root).violations;
  } finally {
    rmSync(root, { recursive: true });
  }
}

const bad = 'services/policy/src/bad.ts';
const crossing = 'services/policy may not import services/ingress';

test('a workspace that keeps the rules has no violation, whatever stands in its comments and strings', () => {
  assert.deepEqual(violations({}), []);
});

test('an import across layers is found in every way of writing it', () => {
  for (const text of [
    "import '@sluice/ingress/main';",
    "import type { A } from '@sluice/ingress/main';",
    "export * from '@sluice/ingress/main';",
    "export type { A } from '@sluice/ingress/main';",
    "export type A = import('@sluice/ingress/main').A;",
    "export const a = import('@sluice/ingress/main');",
    'export const a = import(`@sluice/ingress/main`);',
    "export const glob = '/*'; import '@sluice/ingress/main'; export const end = '*/';",
  ]) {
    assert.deepEqual(violations({ [bad]: text }), [`${bad}:1: ${crossing}`], text);
  }
});

const rules: readonly {
  readonly rule: string;
  readonly planted: Readonly<Record<string, string>>;
  readonly found: string[];
}[] = [
  {
    rule: 'the line of an import is told',
    planted: { [bad]: "\n\nimport {\n  a,\n} from '@sluice/ingress/main';\n" },
    found: [`${bad}:5: ${crossing}`],
  },
  {
    rule: 'an import with a computed name is refused',
    planted: { [bad]: 'export const load = (name: string) => import(name);\n' },
    found: [`${bad}:1: an import with a computed name cannot be checked`],
  },
  {
    rule: 'a package is not reached by a path',
    planted: { [bad]: "import '../../ingress/src/main.ts';\n" },
    found: [`${bad}:1: ${crossing}`, `${bad}:1: reaches into services/ingress; import its package`],
  },
  {
    rule: 'nothing but tests depends on what is for tests',
    planted: { [bad]: "import '@sluice/testing';\n" },
    found: [`${bad}:1: services/policy may not import libs/testing`],
  },
  {
    rule: 'a unit test keeps to the layers too',
    planted: { 'services/policy/src/bad.test.ts': "import '@sluice/ingress/main';\n" },
    found: [`services/policy/src/bad.test.ts:1: ${crossing}`],
  },
  {
    rule: 'the model knows nothing of the machine',
    planted: { 'libs/model/src/bad.ts': "import 'node:os';\n" },
    found: ['libs/model/src/bad.ts:1: a pure file may not import node:os'],
  },
  {
    rule: 'a pure core does no I/O',
    planted: { 'services/policy/src/compile-rules.ts': "import { readFileSync } from 'node:fs';\n" },
    found: ['services/policy/src/compile-rules.ts:1: a pure file may not import node:fs'],
  },
  {
    rule: 'a vendor library has one owner',
    planted: { [bad]: "import 'http2-proxy';\nimport 'jose/jwt/verify';\n" },
    found: [
      `${bad}:1: http2-proxy belongs to services/ingress/**`,
      `${bad}:2: jose belongs to libs/runtime/src/identity{,.test}.ts`,
    ],
  },
  {
    rule: 'raw bytes are for ingress and masking',
    planted: { [bad]: "import '@sluice/runtime/raw';\n" },
    found: [`${bad}:1: only ingress and masking may see raw bytes`],
  },
  {
    rule: 'raw bytes do not leave the runtime by another door',
    planted: { 'libs/runtime/src/index.ts': "// What processes stand on.\nexport * from './raw.ts';\n" },
    found: ['libs/runtime/src/index.ts:2: only ingress and masking may see raw bytes'],
  },
  {
    rule: 'what is imported is declared, by the package itself unless it is a test',
    planted: { [bad]: "import 'left-pad';\nimport 'fast-check';\n" },
    found: [
      `${bad}:1: left-pad is not in the package.json of services/policy`,
      `${bad}:2: fast-check is not in the package.json of services/policy`,
    ],
  },
  {
    rule: 'the environment is read where a process starts, however it is written',
    planted: {
      [bad]:
        "process.env['A'];\nprocess['env'];\nconst { env } = process;\nglobalThis.process.env;\nimport 'node:process';\n",
    },
    found: [
      `${bad}:5: use the global process`,
      ...[1, 2, 3, 4].map((line) => `${bad}:${line}: only where a process starts may it read process.env`),
    ],
  },
  {
    rule: 'a package says in its first line what it is',
    planted: { 'services/policy/src/main.ts': 'export {};\n' },
    found: [
      'services/policy/src/main.ts:1: begin with a comment that says what this package is and what it must not do',
    ],
  },
  {
    rule: 'a new folder needs a layer',
    planted: { 'libs/new/package.json': manifest('new', 'index'), 'libs/new/src/index.ts': '// New.\n' },
    found: ['libs/new/src/index.ts:1: libs/new has no layer in tools/boundaries.ts'],
  },
  {
    rule: 'a file that the type check does not see is told',
    planted: { 'libs/model/stray.ts': '' },
    found: ['libs/model/stray.ts:1: tsconfig.json does not include this file, so nothing checks it'],
  },
];

for (const { rule, planted, found } of rules) {
  test(rule, () => assert.deepEqual(violations(planted), found));
}

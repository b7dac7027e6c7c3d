// What TypeScript's own parser sees in the project's sources: the imports of each file, and where it reads the environment.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  isCallExpression,
  isElementAccessExpression,
  isIdentifier,
  isPropertyAccessExpression,
  isStringLiteralLikeNode,
  isVariableDeclaration,
  type Node,
  SyntaxKind,
} from 'typescript/unstable/ast';
import { API } from 'typescript/unstable/sync';

export interface Import {
  /** As it is written; undefined where the name is computed. */
  readonly name: string | undefined;
  readonly line: number;
}

export interface Source {
  /** Relative to the root, with `/`. */
  readonly file: string;
  readonly text: string;
  /** Every `import`, `export … from`, `import()` and `import('…').Type`; undefined where no tsconfig.json includes the file. */
  readonly imports: readonly Import[] | undefined;
  /** The lines that reach `process.env`. */
  readonly environment: readonly number[];
}

/** Reads every TypeScript file under a root that has a `tsconfig.json`, in the order of their names. */
export function readSources(root: string): Source[] {
  const api = new API({ cwd: root });
  try {
    const snapshot = api.updateSnapshot({ openProjects: [join(root, 'tsconfig.json')] });
    const [project] = snapshot.getProjects();
    return globSync('**/*.ts', { cwd: root, exclude: ['**/node_modules', '**/.*'] })
      .toSorted()
      .map((file) => {
        const parsed = project?.program.getSourceFile(join(root, file));
        if (parsed === undefined) {
          return { file, text: readFileSync(join(root, file), 'utf8'), imports: undefined, environment: [] };
        }
        const lineOf = (node: Node): number => parsed.getLineAndCharacterOfPosition(node.getStart(parsed)).line + 1;
        const nodes = [...descendants(parsed)];
        const written = parsed.imports.filter((node) => isStringLiteralLikeNode(node));
        return {
          file,
          text: parsed.text,
          imports: [
            ...written.map((node) => ({ name: node.text, line: lineOf(node) })),
            ...nodes.filter(isComputedImport).map((node) => ({ name: undefined, line: lineOf(node) })),
          ],
          environment: nodes.filter(reachesEnvironment).map(lineOf),
        };
      });
  } finally {
    api.close();
  }
}

function* descendants(node: Node): Generator<Node> {
  const children: Node[] = [];
  node.forEachChild((child) => {
    children.push(child);
  });
  for (const child of children) {
    yield child;
    yield* descendants(child);
  }
}

function isComputedImport(node: Node): boolean {
  if (!isCallExpression(node) || node.expression.kind !== SyntaxKind.ImportKeyword) return false;
  const [name] = node.arguments;
  return name === undefined || !isStringLiteralLikeNode(name);
}

/** `process.env`, `process[…]`, and `process` given another name or taken apart. */
function reachesEnvironment(node: Node): boolean {
  if (isPropertyAccessExpression(node)) return isProcess(node.expression) && node.name.text === 'env';
  if (isElementAccessExpression(node)) return isProcess(node.expression);
  return isVariableDeclaration(node) && node.initializer !== undefined && isProcess(node.initializer);
}

function isProcess(node: Node): boolean {
  if (isPropertyAccessExpression(node)) return node.name.text === 'process';
  return isIdentifier(node) && node.text === 'process';
}

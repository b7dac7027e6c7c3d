// The pages that a stranger follows, as a list of lines to type, and what each has to bring.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from '@sluice/testing';

/** A line of a page. */
export interface Line {
  readonly page: string;
  /** From 1. */
  readonly number: number;
  /** As it stands there, its comment included. */
  readonly text: string;
  /** Without its comment; `npx --no-install sluice` is `sluice`. */
  readonly command: string;
  /** What the page says about it; empty where it says nothing. */
  readonly comment: string;
}

/** What a page shows of the output of the lines before it. */
export interface Shown {
  readonly page: string;
  readonly number: number;
  /** Pieces of it, without what is left out (`…`). */
  readonly pieces: readonly string[];
}

/** What is not typed here, and why. `npm start` is: in another shell, on any free port. */
export const notTyped: Readonly<Record<string, string>> = {
  'npm start': 'runs until it is stopped; the walk has one',
  'npm test': 'would run this test',
  'kubectl apply -f deploy/rbac/': 'needs a cluster with RBAC; the scenario has one',
  'npm start -- --kubeconfig sluice.kubeconfig': 'the same',
  'npx --no-install sluice keys rotate --all': 'only while Sluice is stopped; e2e/keys.test.ts does it',
};

/** What a command has to print, by how it begins. A command that is not here must not stand on a page. */
const judges: readonly (readonly [begin: string, prints: RegExp])[] = [
  ['cp -r ', /^$/],
  ['export KUBECONFIG=', /^$/],
  ['kubectl create deployment ', /created/],
  ['kubectl delete ', /deleted/],
  ['kubectl exec ', /^orders\.csv$/m],
  ['kubectl get pods ', /^(shop +)?(web|hello)-\S+ +1\/1 +Running/m],
  // What a mask begins with, in base64.
  ['kubectl get secret ', /password: c2x1aWNlLW1hc2s6/],
  ['kubectl logs -f ', /^tick \d+$/m],
  ['kubectl rollout status ', /successfully rolled out/],
  ['kubectl scale ', /scaled/],
  ['rm ', /^$/],
  ['sleep ', /^$/],
  ['sluice approvals approve ', / is (approved|used): agent "/],
  ['sluice approvals deny ', / is denied: agent "/],
  ['sluice approvals list', /^\S+ +[0-9a-z]{10} +pending /m],
  ['sluice approvals show ', /^request +(DELETE|GET)$/m],
  ['sluice calls list', /^TIME .* ID\b/m],
  ['sluice keys broker', /nkey/],
  ['sluice keys list', /decisions/],
  ['sluice kill ', /^cut [-0-9a-f]{36}$/m],
  ['sluice kubeconfig ', /^$/],
  ['sluice mask test ', /\.stringData\.password: value of a Secret/],
  ['sluice policy apply ', /\d+ policies, \d+ rules in force/],
  ['sluice policy check ', /\d+ policies/],
  ['sluice policy explain ', /^effect +(allow|ask|deny)$/m],
  ['sluice replay ', /completed|refused|cut/],
  ['sluice sessions list', /^STARTED .* ID$/m],
  ['sluice sql --list', /^who-read$/m],
  ['sluice sql --query agent-activity ', /^delete +namespaces +shop +deny /m],
  ['sluice sql --query ', /\bdemo\b/],
  ['sluice tail CALL', /^[\d:.]+ {2}body {2}tick \d+$/m],
  ['sluice tail', /demo/],
  ['sluice verify', /^No faults\.$/m],
  ['sluice() {', /^$/],
  ['wait $!', /deleted|^sluice-mask:v1:/m],
];

/** What a refused command has to say, by what the page says about it. */
const refusals: readonly (readonly [comment: string, says: () => RegExp])[] = [
  ["refused, with the rule's reason", oneOfTheReasons],
  ["refused, with the reviewer's words", () => /local:\S+ has denied approval \w{10}: scale it to zero instead/],
  ['refused after a minute', () => /approval \w{10} waits for a reviewer until \d\d:\d\d UTC/],
  ['refused by the cluster: 409', () => /\(Conflict\): .*might have been modified/],
  ['cut, ', () => /^sluice: killed by local:\S+: /m],
  ['refused: no rule allows it', () => /\(Forbidden\): agent "demo" may not .*: no rule allows it/],
];

/** What is written instead of what only a run knows. */
export const placeholders = /\b(?:CALL|FILE|ID|SESSION|TEXT)\b/g;

/** Where the output of a list has what a later line needs: of the first row that fits. */
export const lists: readonly { readonly begin: string; readonly placeholder: string; readonly value: RegExp }[] = [
  { begin: 'sluice approvals list', placeholder: 'ID', value: /^\S+ +([0-9a-z]{10}) +pending /m },
  { begin: 'sluice calls list', placeholder: 'CALL', value: / ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?: |$)/m },
  { begin: 'sluice sessions list', placeholder: 'SESSION', value: / ([0-9a-f]{32})$/m },
];

export type Expected =
  | { readonly kind: 'refused'; readonly says: RegExp }
  | { readonly kind: 'asks' }
  /** In the background, until somebody ends it. */
  | { readonly kind: 'runs on'; readonly prints: RegExp }
  | { readonly kind: 'endless'; readonly prints: RegExp }
  | { readonly kind: 'done'; readonly prints: RegExp };

/** How to judge a line. `undefined`: nobody has said, and it must not stand on a page. */
export function expected({ command, comment }: Line): Expected | undefined {
  if (/^(refused|cut)/.test(comment)) {
    const says = refusals.find(([begin]) => comment.startsWith(begin))?.[1];
    return says === undefined ? undefined : { kind: 'refused', says: says() };
  }
  const prints = judges.find(([begin]) => command.startsWith(begin))?.[1];
  if (prints === undefined || command.endsWith('\\')) return undefined;
  if (command.endsWith('&')) {
    if (comment.startsWith('runs on')) return { kind: 'runs on', prints };
    return comment.startsWith('asks') ? { kind: 'asks' } : undefined;
  }
  return { kind: command.startsWith('sluice tail') ? 'endless' : 'done', prints };
}

/**
 * Reads a page. Fenced blocks without a language, or marked `sh`, are typed; those marked `text` and `json` show what comes
 * of it, where something has been typed under the same heading.
 */
export function readPage(page: string, text = readFileSync(join(repository, page), 'utf8')): (Line | Shown)[] {
  const steps: (Line | Shown)[] = [];
  let language: string | undefined;
  let isTyped = false;
  for (const [index, line] of text.split('\n').entries()) {
    const fence = /^```(\w*)$/.exec(line);
    if (fence !== null) language = language === undefined ? fence[1] : undefined;
    else if (language === undefined && line.startsWith('#')) isTyped = false;
    else if (language === '' || language === 'sh') {
      isTyped = true;
      steps.push(lineOf(page, index + 1, line));
    } else if (isTyped && (language === 'text' || language === 'json')) steps.push(shownOf(page, index + 1, line));
  }
  return steps;
}

function lineOf(page: string, number: number, text: string): Line {
  const [, written = '', comment = ''] = /^(.*?)(?:\s+# (.*))?$/.exec(text) ?? [];
  return { page, number, text, command: written.replace(/^npx --no-install /, ''), comment };
}

function shownOf(page: string, number: number, line: string): Shown {
  const pieces = line.split('…').map(normal);
  return { page, number, pieces: pieces.filter((piece) => piece !== '') };
}

/** A text without what differs from run to run: ids, numbers, accounts, and where columns stand. */
export function normal(text: string): string {
  return text
    .replaceAll(/\blocal:\w+/g, 'local:USER')
    .replaceAll(/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, 'UUID')
    .replaceAll(/\bapproval [0-9a-z]{10}\b/g, 'approval ID')
    .replaceAll(/\b(?=\w*\d)[0-9a-hjkmnp-tv-z]{10}\b/g, 'ID')
    .replaceAll(/\d+/g, '0')
    .replaceAll(/\b0[hms]\b/g, '0')
    .replaceAll(/\s+/g, ' ')
    .trim();
}

/** The reasons that the example policies give. */
function oneOfTheReasons(): RegExp {
  const policy = readFileSync(join(repository, 'deploy/examples/policies/demo-agent.yaml'), 'utf8');
  const reasons = [...policy.matchAll(/^ +reason: "(.*)"$/gm)].map(([, reason = '']) => RegExp.escape(reason));
  return new RegExp(`\\((?:Forbidden|DeniedByRule)\\): (?:${reasons.join('|')})$`, 'm');
}

// Writes the pages that are made from code: `npm run docs`. A test holds them against it.
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { outcomes, type ReasonCode, reasonOf, reasons } from '../libs/model/src/index.ts';

export const reasonsPage = 'docs/reasons.md';

/** `docs/reasons.md`, as the registry has it. */
export function renderReasons(): string {
  const rows = (Object.keys(reasons) as ReasonCode[]).map((code) => {
    const { http, status, retryAfterSeconds, summary } = reasonOf(code);
    return `| \`${code}\` | ${http} | ${status} | ${retryAfterSeconds === undefined ? '' : `${retryAfterSeconds} s`} | ${summary} |`;
  });
  const ends = Object.entries(outcomes).map(([outcome, meaning]) => `| \`${outcome}\` | ${meaning} |`);
  return `# Reason codes and outcomes

Made from \`libs/model/src\` by \`npm run docs\`. Both lists are closed.

A refusal is a \`metav1.Status\`; its \`details.causes\` have \`SluiceReasonCode\`, \`SluicePolicy\`, \`SluiceRule\`,
\`SluiceCall\`, \`SluiceAskable\` and \`SluiceHint\`, each with its value as \`message\`. \`Retry-After\` is there only where the
call has not gone upstream and waiting helps.

| code | HTTP | status reason | Retry-After | means |
|---|---|---|---|---|
${rows.join('\n')}

Every recorded call ends with one outcome:

| outcome | means |
|---|---|
${ends.join('\n')}
`;
}

if (process.argv[1] === import.meta.filename) {
  writeFileSync(join(resolve(import.meta.dirname, '..'), reasonsPage), renderReasons());
}
